"""The figures of a sweep, one file each."""
