"""What a sweep searches: ranges and choices, points drawn from them, and the configs of these points."""
