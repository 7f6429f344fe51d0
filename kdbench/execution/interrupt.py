"""Wishes to stop, by a signal or by too many failures: training ends after the present batch, all written."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from kdbench.hookspecs import hookimpl
from kdbench.run import Run
from kdbench.store.records import Record


class StopSignal:
    """Inside the context SIGINT and SIGTERM ask training to stop; a second one stops at once.

    What comes after that is not heard: it could only cut off the clearing up, the last words and the exit code. So it
    stays when the context is left after a signal, since the process is about to end; else all is as before.

    A terminal that is closed and a scheduler whose time is over ask as well, with signals of their own. Those may come
    several times, or before a SIGTERM, and no second one is an order to stop at once; nor are they heard where somebody
    has seen to them before, as `nohup` does.
    """

    ORDERS = (signal.SIGINT, signal.SIGTERM)
    NOTICES = tuple(
        getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU") if hasattr(signal, name)
    )
    SIGNALS = (*ORDERS, *NOTICES)

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._ordered = False
        self._before: dict[signal.Signals, Any] = {}

    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it."""
        return 128 + (self.received or signal.SIGINT)

    def __enter__(self) -> StopSignal:
        free = [number for number in self.NOTICES if signal.getsignal(number) == signal.SIG_DFL]
        self._before = {number: signal.signal(number, self._receive) for number in (*self.ORDERS, *free)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.requested() else handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        order = number in self.ORDERS
        if order and self._ordered:
            for one in self.SIGNALS:
                signal.signal(one, signal.SIG_IGN)
            raise KeyboardInterrupt
        self._ordered |= order
        self.received = self.received or signal.Signals(number)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Inside the context signals wait, and a process that is started there is born with them waiting.

    Else a Ctrl-C, which the terminal sends to all processes, would end one that cannot yet say what it does with it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, StopSignal.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class FailureLimit:
    """An observer that asks to stop once so many runs have failed; None is never."""

    def __init__(self, limit: int | None):
        self.failed = 0
        self._limit = limit

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        """Count a failure."""
        self.failed += record.status == "failed"

    def reached(self) -> bool:
        """Whether there were too many."""
        return self._limit is not None and self.failed >= self._limit
