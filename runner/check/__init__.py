"""Whether a training is sane, measured before hours are spent on it: one file for each family of checks."""
