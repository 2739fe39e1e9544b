"""A run's spec and prepared data in, weights, curve and status out; resumed to the byte, paired by seed."""
