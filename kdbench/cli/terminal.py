"""Standard output and error behind a filter, so that no name or message from outside can steer the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from rich.console import Console

from kdbench.visible import visible


class _Filter:
    """A text stream that writes `visible` text to another."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(visible(text))
        return len(text)

    @property
    def rich_proxied_file(self) -> TextIO:
        """Where rich writes instead: it draws with control characters. `Terminal` filters what it is given."""
        return self._stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def filtered() -> Iterator[None]:
    """Inside the context, whatever is printed goes through the filter."""
    with redirect_stdout(cast(TextIO, _Filter(sys.stdout))), redirect_stderr(cast(TextIO, _Filter(sys.stderr))):
        yield


class Terminal(Console):
    """A rich console for plain lines and progress bars; text is shown as it is, without markup or wrapping."""

    def __init__(self, *, stderr: bool = False):
        super().__init__(stderr=stderr, soft_wrap=True, highlight=False, markup=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print with the control characters of texts made visible."""
        super().print(*(visible(text) if isinstance(text, str) else text for text in objects), **how)
