"""Run the command line as ``python -m cm4storage``."""

import sys

from cm4storage.cli import main

if __name__ == "__main__":
    sys.exit(main())
