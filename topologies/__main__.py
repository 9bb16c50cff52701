"""The entry of `python -m topologies`."""

import sys

from topologies.command.main import main

if __name__ == "__main__":
    sys.exit(main())
