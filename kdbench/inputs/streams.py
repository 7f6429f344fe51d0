"""Standard output and error of a process that runs foreign code.

Nothing that is written steers the terminal, no character is lost to an encoding, and a stream that fails ends no work.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

from kdbench.inputs.visible import escaped, visible

#: Error handler of codecs that writes what an encoding lacks as `visible` writes what a terminal must not obey.
ESCAPED = "kdbench.escaped"


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(escaped, error.object[error.start : error.end])), error.end


codecs.register_error(ESCAPED, _escape)


class Stream:
    """A text stream that never raises: after an error, which it keeps as `failure`, what is written is dropped."""

    def __init__(self, file: TextIO):
        self.failure: OSError | None = None
        self._file = file
        with suppress(AttributeError):  # what is no file has no encoding
            cast(Any, file).reconfigure(errors=ESCAPED)

    def write(self, text: str) -> int:
        """Write what there is no reason to drop."""
        if self.failure is None:
            try:
                self._file.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        if self.failure is None:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = error
        # What is still in its buffer would fail again when the interpreter ends.
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Filter:
    """A text stream that writes `visible` text to another, `unfiltered`."""

    def __init__(self, unfiltered: Stream):
        self.unfiltered = unfiltered

    def write(self, text: str) -> int:
        """Write text that no terminal obeys."""
        self.unfiltered.write(visible(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)

    def lost(self) -> str | None:
        """Why what was printed did not arrive; None where it did, or where nobody reads any more."""
        self.unfiltered.flush()
        failure = self.unfiltered.failure
        return None if failure is None or failure.errno == errno.EPIPE else failure.strerror or str(failure)


@contextmanager
def filtered() -> Iterator[Filter]:
    """Inside the context, whatever is printed goes through filters; gives that of standard output.

    A stream that the process was started without is the null device.
    """
    out, err = (Filter(Stream(stream or _nowhere())) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(cast(TextIO, out)), redirect_stderr(cast(TextIO, err)):
        try:
            yield out
        finally:
            out.flush()
            err.flush()


#: Kept apart from `sys.stdout`, which a library may wrap once more, as colorama does.
_own: list[TextIO] = []


@contextmanager
def aside(out: Filter) -> Iterator[None]:
    """Inside the context, what is printed goes to standard error, and only what is written to `own_output` to `out`."""
    _own.append(cast(TextIO, out))
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _own.pop()


def own_output() -> TextIO:
    """Standard output, also where `aside` keeps foreign prints from it."""
    return _own[-1] if _own else sys.stdout


def _nowhere() -> TextIO:
    # Not closed: it is the stream of the process to its end.
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
