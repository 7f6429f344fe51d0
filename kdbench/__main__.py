"""`python -m kdbench`."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python puts the working folder first, and whatever lies there would be imported in place of what is meant.
    del sys.path[0]

from kdbench.cli.main import main

if __name__ == "__main__":
    main()
