"""Reference results made, rebuilt, and held against: `publishing` makes one from a finished preset, `restoring` starts
a rebuild from its records, `verifying` sets other results beside it (mnv4bench/reference.py says what one is)."""
