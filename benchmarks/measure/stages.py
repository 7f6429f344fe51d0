"""Stages within limits: what fails, hangs or comes too late stops no other, and what is done is not done again."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

#: From the request to stop, upon which a command writes what it has, to the end of its whole process group. The call's
#: last command is asked so much earlier; a stage may last so much longer.
GRACE = 10.0
#: What `Runner.run` returns of a command that there was no time to begin, as `timeout` does of one that was stopped.
NO_TIME = 124


class Stopped(BaseException):
    """This process was asked to stop by signal `number`: commands are ended, and what there is is packed."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@dataclass
class Runner:
    """Runs commands within what is left of the call's and of the stage's time, their output in the stage's log.

    `folder` holds `done/` and `logs/`; `ends` is when the call ends, on the clock of `time.monotonic`. `variables` are
    added to the environment of every command.
    """

    folder: Path
    ends: float
    variables: dict[str, str] = field(default_factory=dict)
    _stage_ends: float = 0.0
    _log: IO[str] | None = None

    @property
    def left(self) -> float:
        """Seconds left of the stage, or of the call between stages."""
        last = self.ends - GRACE
        return min(last, self._stage_ends or last) - time.monotonic()

    def stage(self, name: str, seconds: float, work: Callable[[], bool]) -> None:
        """Do `work`, which says whether all of it was done, unless that was said before."""
        done = self.folder / "done" / name
        if done.exists():
            print(f"{name}: done before", flush=True)
            return
        began = time.monotonic()
        log = self.folder / "logs" / f"{name}.log"
        with log.open("a") as self._log, self._limited(began + seconds):
            whole = work()
        took = f"{time.monotonic() - began:.0f} s"
        if whole:
            done.touch()
        print(f"{name}: done in {took}" if whole else f"{name}: not all of it, after {took}; see {log}", flush=True)

    def run(self, *words: object, seconds: float = float("inf"), into: Path | None = None) -> int:
        """The exit code of a command; its standard output goes to the file `into`, if given, once it has any."""
        command = [str(word) for word in words]
        left = min(self.left, seconds)
        self._say(f"$ {shlex.join(command)} ({left:.0f} s)")
        if left <= 0:
            return NO_TIME
        part = into and into.with_name(f"{into.name}.part")
        with contextlib.ExitStack() as opened:
            output = opened.enter_context(part.open("w")) if part else self._log
            code = self._wait(command, output, left)
        self._say(f"exit code {code}")
        if into and part and part.stat().st_size:
            part.replace(into)
        return code

    def python(self, module: str, *words: object, **how: Any) -> int:
        """The exit code of a module of this Python; `how` is as in `run`."""
        return self.run(sys.executable, "-m", module, *words, **how)

    def kdbench(self, *words: object, **how: Any) -> int:
        """The exit code of a kdbench command; `how` is as in `run`."""
        return self.python("kdbench", *words, **how)

    def _wait(self, command: Sequence[str], output: IO[str] | None, seconds: float) -> int:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.variables},
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._say(f"asked to stop after {seconds:.0f} s")
            return _end(process)
        except BaseException:
            _end(process)
            raise

    @contextlib.contextmanager
    def _limited(self, ends: float) -> Iterator[None]:
        self._stage_ends = ends
        try:
            yield
        finally:
            self._stage_ends, self._log = 0.0, None

    def _say(self, line: str) -> None:
        print(line, file=self._log, flush=True)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Ask for an end, and make one where that is not heard; none of its group, such as its own workers, is left."""
    process.terminate()
    try:
        return process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
