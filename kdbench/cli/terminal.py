"""Standard output and error behind a filter, so that no name or message from outside can steer the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from kdbench.inputs.visible import visible


class Filter:
    """A text stream that writes `visible` text to another, `unfiltered`."""

    def __init__(self, unfiltered: TextIO):
        self.unfiltered = unfiltered

    def write(self, text: str) -> int:
        self.unfiltered.write(visible(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


@contextmanager
def filtered() -> Iterator[None]:
    """Inside the context, whatever is printed goes through the filter."""
    with redirect_stdout(cast(TextIO, Filter(sys.stdout))), redirect_stderr(cast(TextIO, Filter(sys.stderr))):
        yield


def screen_width() -> int | None:
    """Columns of the terminal that standard output is; None where it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
