"""Pictures and pages. Imports no torch."""
