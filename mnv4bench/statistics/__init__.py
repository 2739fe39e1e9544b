"""Arrays in, verdicts out: resampled images, small samples, and the words that they support."""
