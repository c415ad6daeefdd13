"""Hydra's side of a sweep: the sweeper and the launcher of worker processes."""
