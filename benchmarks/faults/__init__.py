"""A count of trials in; an undisturbed workflow disturbed in every way, and what came of it, out."""
