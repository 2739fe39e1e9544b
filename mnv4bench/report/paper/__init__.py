"""Results in, the paper out."""
