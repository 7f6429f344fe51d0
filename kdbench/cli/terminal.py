"""Standard output and error behind a filter, so that no name or message from outside can steer the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from rich.console import Console

from kdbench.inputs.visible import visible


class _Filter:
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
    with redirect_stdout(cast(TextIO, _Filter(sys.stdout))), redirect_stderr(cast(TextIO, _Filter(sys.stderr))):
        yield


def screen_width() -> int | None:
    """Columns of the terminal that standard output is; None where it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class Terminal(Console):
    """A rich console for plain lines and progress bars; text is shown as it is, without markup or wrapping.

    rich draws with control characters, so it writes past the filter, and texts go through it here.
    """

    def __init__(self, *, stderr: bool = False):
        stream: Any = sys.stderr if stderr else sys.stdout
        file = stream.unfiltered if isinstance(stream, _Filter) else stream
        super().__init__(file=file, soft_wrap=True, highlight=False, markup=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print with the control characters of texts made visible."""
        super().print(*(visible(text) if isinstance(text, str) else text for text in objects), **how)
