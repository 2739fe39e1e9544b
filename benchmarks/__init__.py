"""Programs whose measurements the documentation quotes."""
