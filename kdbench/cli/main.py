"""The entry point: so little that a Ctrl-C is quiet from the first moment on."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: 128 + the signal's number, as shells report it.
INTERRUPTED = 130
LAST_WORDS = "kdbench: stopped at once; what is finished is kept.\n"


def main() -> None:
    """Run the command line; a Ctrl-C before training ends it with one line."""
    try:
        with _interruptible():
            from kdbench.cli.app import run_command

            code = run_command()
    except KeyboardInterrupt:
        _end_now()
    # The last that is registered comes first: before what others clean up.
    atexit.unregister(_say_no_more)
    atexit.register(_say_no_more)
    sys.exit(code)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Inside the context a Ctrl-C during an import ends the process at once.

    An import would make any other error of it, or print where it was; and nothing is written meanwhile. Who has been
    told to ignore the signal goes on to.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
    except ValueError:  # not in the main thread, which alone hears of signals
        pass
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            _end_now()
        frame = frame.f_back
    raise KeyboardInterrupt


def _say_no_more() -> None:
    """All is done and said; Python would print where in its own end a Ctrl-C found it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_now() -> None:
    os.write(2, LAST_WORDS.encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
