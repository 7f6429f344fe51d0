"""The C allocator: on a CPU, to get a tensor's pages anew takes longer than to fill them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Iterator
from typing import Any

#: Of glibc's `mallopt`: of how many free bytes the heap's end is given back, and how many blocks may lie outside it.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
#: A threshold that is never reached.
NEVER = -1


def keep_freed_memory() -> None:
    """From now on, have the C library use what is freed for what is asked for next. Without glibc, nothing is done."""
    if (library := _glibc()) is not None:
        library.mallopt(M_TRIM_THRESHOLD, NEVER)
        library.mallopt(M_MMAP_MAX, 0)


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """The same; at the end others may have what is free."""
    keep_freed_memory()
    try:
        yield
    finally:
        if (library := _glibc()) is not None:
            library.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
