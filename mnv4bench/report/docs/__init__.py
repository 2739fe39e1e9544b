"""References in, generated documentation out."""
