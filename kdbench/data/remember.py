"""What local data were found to be, remembered by the state of their files: reading commands need not decode again.

Kept in `datasets.json` (`kdbench/store/kept.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from pydantic import TypeAdapter

from kdbench.data.dataset import DatasetInfo
from kdbench.store import kept

NAME = "datasets.json"
#: Changes when the same files are read otherwise.
READING = 2
#: How many are remembered, the latest ones.
MOST = 256
#: Seconds after which a file's times can be trusted to change when it is written again.
SETTLED = 2.0
_INFO = TypeAdapter(DatasetInfo)


@dataclasses.dataclass(frozen=True)
class State:
    """The files that data are read from, as they are now: `digest` changes whenever one of them does.

    `settled` says whether none was written so lately that another write might leave its times as they are.
    """

    digest: str
    settled: bool


def state_of(kind: str, paths: Iterable[str]) -> State:
    """The state of files that a source of that kind reads: place, size, times and number, and what reads them.

    Raises `OSError` for a file that is not there.
    """
    digest = hashlib.sha256(f"{kind} {reader()}".encode())
    latest = 0.0
    for path in paths:
        found = os.stat(path)  # noqa: PTH116  (there may be a hundred thousand)
        # Who writes into a file may set its times back, but not the time of its change.
        told = (path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        digest.update(repr(told).encode(errors="surrogateescape"))
        latest = max(latest, found.st_ctime)
    return State(digest.hexdigest(), latest < time.time() - SETTLED)


def reader() -> str:
    """What reads data: this code, and the packages that decode.

    The libraries within them, libjpeg and others, come with a package's version; they are not asked for theirs, since
    to import Pillow is what reading commands are spared. Where the system has its own and renews one, what was
    remembered stays.
    """
    return " ".join([str(READING), *map(_version, ("kdbench", "pillow", "pyarrow"))])


def remembered(state: State) -> DatasetInfo | None:
    """What data in that state are, if it was found out before."""
    try:
        return _INFO.validate_python(kept.entries(NAME).get(state.digest))
    except ValueError:
        return None


def remember(state: State, info: DatasetInfo) -> None:
    """Keep it, if it can be trusted. Where no home can be written, as in many containers, the data are read again."""
    if state.settled:
        new = {state.digest: dataclasses.asdict(info)}
        kept.add(NAME, new, most=MOST, otherwise="the next command reads the data anew")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
