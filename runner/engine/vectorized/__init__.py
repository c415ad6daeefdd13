"""T trials that train together as one batched network."""
