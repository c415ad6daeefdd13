"""What a sweep writes down as it goes: trials, rounds, the journal."""
