"""Observers of a run: they read and never touch its weights."""
