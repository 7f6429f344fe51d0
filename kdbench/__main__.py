"""`python -m kdbench`."""

from kdbench.cli.main import main

if __name__ == "__main__":
    main()
