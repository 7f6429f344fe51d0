"""What commands print: `tell` writes to standard output, on which nothing else is printed while a command works."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from kdbench.inputs.streams import own_output


def tell(text: object = "") -> None:
    """Print a line, or several, as what the command was asked for, at once."""
    print(text, file=own_output(), flush=True)


def separate_output() -> None:
    """Leave standard output to `tell` alone, for all code and all processes to come: what writes to the file descriptor
    1 itself, such as a library in C or a worker process, writes to standard error.

    Where the process has no such stream it stays as it is; one that it was started without becomes the null device.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest that is free. Else the first file to be opened would become standard output.
            os.open(os.devnull, os.O_RDWR)
    given = sys.__stdout__
    if given is None or given is not sys.stdout or given.fileno() != 1:
        return
    own = open(os.dup(1), "w", encoding=given.encoding, errors=given.errors)  # noqa: SIM115, PTH123
    own.reconfigure(line_buffering=own.isatty())
    os.dup2(2, 1)
    sys.stdout = own


def screen_width() -> int | None:
    """Columns of the terminal that standard output is; None where it is a file or a pipe."""
    out = own_output()
    if not out.isatty():
        return None
    columns = wanted_width()
    with suppress(OSError):
        columns = columns or os.get_terminal_size(out.fileno()).columns
    return columns or 80


def wanted_width() -> int | None:
    """Columns that the variable COLUMNS asks for; None where it asks for none."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) or None if columns.isascii() and columns.isdigit() else None
