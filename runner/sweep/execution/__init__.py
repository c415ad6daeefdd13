"""Runs what the strategy asks for: queues trials, hands them to the launcher, recovers what a crash left."""
