"""Timed blocks in, ratios and verdicts out; a pure function of blocks.csv."""
