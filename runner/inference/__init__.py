"""A trained network in use: its scores, and what they say."""
