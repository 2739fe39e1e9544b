"""`python -m mnv4bench`: the command line without its installed name."""

import sys

if __name__ == "__main__":
    try:
        from mnv4bench.cli import main
    except KeyboardInterrupt:  # as in `main`, which is not there yet
        sys.exit(130)
    main()
