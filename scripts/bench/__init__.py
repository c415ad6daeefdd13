"""Benchmarks: one file per table, what they share in `harness.py`, and the command `scripts/bench/run`."""
