"""`python -m drivers`."""

import sys

from drivers.cli import main

if __name__ == "__main__":
    sys.exit(main())
