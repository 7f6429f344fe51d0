"""Where a task works: a folder that is removed with it, or by a later task of the machine if its process was killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".kdbench-cohort-"
_NAME = re.compile(re.escape(_PREFIX) + r"\w{8}")
#: A younger folder may have been made and not be held yet, in seconds.
YOUNG_SECONDS = 60.0


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is this process's as long as it lives; those of processes that were killed are removed."""
    for folder in Path(tempfile.gettempdir()).iterdir():
        if _NAME.fullmatch(folder.name):
            _remove_if_left(folder)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, _held(Path(name)):
        yield Path(name)


def _remove_if_left(folder: Path) -> None:
    # It may be another user's, or go meanwhile.
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime >= YOUNG_SECONDS:
            with _held(folder):
                shutil.rmtree(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The lock on a folder, which ends with its process, however that ends. Raises `BlockingIOError` if it is held."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
