"""Runs side by side: what differs, which is better, and how sure that is. Imports no torch."""
