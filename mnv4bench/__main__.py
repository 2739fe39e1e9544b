"""`python -m mnv4bench`: the command line without its installed name."""

from mnv4bench.cli import main

if __name__ == "__main__":
    main()
