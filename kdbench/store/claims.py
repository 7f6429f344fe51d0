"""Claims: several processes on one results folder share the work, and nobody waits on a lock.

A claim is a file `claims/RUN.N` that only one process can create. Its owner touches it while it works. Where the
touching stops, whoever saw that creates `RUN.N+1`: of several, one succeeds, and the highest number counts. All claims
of a process are names of one file, where the file system can do that.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Container, Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from kdbench.inputs.errors import UserError
from kdbench.store.files import create_exclusively, link_exclusively, remove

#: How often an owner touches its claims, and how long they may lie untouched before they are taken over, in seconds.
BEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0


class Claims:
    """The claims of one process on the runs of a results folder; inside its context they are kept alive.

    `clock` gives seconds that never go back.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic):
        self._folder = folder
        self._clock = clock
        self._mine: dict[str, Path] = {}
        #: Of others' claims: when they were last touched, by their file's clock, and when by ours that was first seen.
        self._seen: dict[Path, tuple[float, float]] = {}
        self._leave = threading.Event()
        self._beating = threading.Thread(target=self._keep_alive, daemon=True)

    def __enter__(self) -> Claims:
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._beating.join()
        self.release(list(self._mine))

    def take(self, run_ids: Iterable[str]) -> list[str]:
        """Claim what is free; those of the runs that are now this process's."""
        wanted = dict.fromkeys(run_ids)
        newest = _newest(self._numbered(wanted))
        return [run_id for run_id in wanted if self._take(run_id, newest.get(run_id, 0))]

    def release(self, run_ids: Iterable[str]) -> None:
        """Give runs free."""
        for run_id in run_ids:
            # One that stays behind does not outlive this process.
            with contextlib.suppress(OSError, UserError):
                remove(self._mine.pop(run_id))

    def owners(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Who holds runs, in words, by the id of those that somebody holds."""
        wanted, found = dict.fromkeys(run_ids), {}
        newest = _newest(self._numbered(wanted))
        for run_id in wanted:
            if run_id in newest and self._alive(path := self._path(run_id, newest[run_id])):
                owner = _read(path)
                found[run_id] = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
        return found

    def abandoned(self) -> list[Path]:
        """Claims that do not count any more: outnumbered, or their owner is known to be gone."""
        there = self._numbered()
        newest = _newest(there)
        numbered = [(self._path(run_id, number), number < newest[run_id]) for run_id, number in there]
        dead = [path for path, outnumbered in numbered if outnumbered or not self._alive(path)]
        # One that was released meanwhile is gone, and its name may be taken again.
        return [path for path in dead if path.exists()]

    def _take(self, run_id: str, newest: int) -> bool:
        if newest and self._alive(self._path(run_id, newest)):
            return False
        path = self._path(run_id, newest + 1)
        if not self._create(path):
            return False
        self._mine[run_id] = path
        return True

    def _create(self, path: Path) -> bool:
        held = next(iter(self._mine.values()), None)
        linked = link_exclusively(path, held) if held else None
        if linked and _read(path) != self._myself:
            # What is held may have been lost meanwhile, to who has its name now.
            remove(path)
            linked = None
        return create_exclusively(path, json.dumps(self._myself).encode()) if linked is None else linked

    @cached_property
    def _myself(self) -> dict[str, Any]:
        pid = os.getpid()
        return {"host": socket.gethostname(), "pid": pid, "machine": _machine(), "started": _started(pid)}

    def _path(self, run_id: str, number: int) -> Path:
        return self._folder / f"{run_id}.{number}"

    def _numbered(self, run_ids: Container[str] | None = None) -> list[tuple[str, int]]:
        """Run and number of all claims, or of those on `run_ids`, listed at once: there may be thousands."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208
        except FileNotFoundError:
            return []
        parts = (name.rpartition(".") for name in names)
        return [
            (run_id, int(number))
            for run_id, _, number in parts
            if (run_ids is None or run_id in run_ids) and number.isdecimal()
        ]

    def _alive(self, claim: Path) -> bool:
        """Whether the owner of a claim works on: a process of this machine is looked for, others are watched."""
        owner, machine = _read(claim), _machine()
        if machine is not None and owner.get("machine") == machine:
            return owner.get("started") == _started(owner.get("pid"))
        try:
            touched = claim.stat().st_mtime
        except OSError:
            return False
        now = self._clock()
        before, since = self._seen.get(claim, (None, now))
        if touched != before:
            since = now
        self._seen[claim] = touched, since
        # Between two looks, by this process's own clock: those of two hosts may differ.
        return now - since < LEASE_SECONDS

    def _keep_alive(self) -> None:
        while not self._leave.wait(BEAT_SECONDS):
            for path in list(self._mine.values()):
                # A folder that is gone for a while: the claim may be lost, the work is not.
                with contextlib.suppress(OSError):
                    os.utime(path)


def _newest(claims: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Of each run the number that counts."""
    newest: dict[str, int] = {}
    for run_id, number in claims:
        newest[run_id] = max(number, newest.get(run_id, 0))
    return newest


def _read(claim: Path) -> dict[str, Any]:
    try:
        content = json.loads(claim.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _machine() -> str | None:
    """This boot of this machine and its space of process numbers; None where the system does not tell."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _started(pid: object) -> str | None:
    """When a process of this machine began, in ticks since boot; None if there is none (a zombie is none)."""
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
