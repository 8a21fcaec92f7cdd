"""`python -m tickloop` is the same as `tickloop`."""

from tickloop.entrypoints.cli import main

if __name__ == "__main__":
    main()
