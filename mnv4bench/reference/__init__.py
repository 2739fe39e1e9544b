"""Finished results in, committed references out; and the other way round: rebuilt, and set beside other results."""
