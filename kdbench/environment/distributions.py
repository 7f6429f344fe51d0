"""Which files an installed distribution brought, and which are a user's own."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from typing import NamedTuple

#: Plugins announce themselves in this group of entry points.
GROUP = "kdbench"
_STANDARD_LIBRARY = Path(os.__file__).parent
#: Folders in the interpreter's own that hold what is installed beside it.
_INSTALLED = {"site-packages", "dist-packages"}


class Release(NamedTuple):
    """A distribution as it was published: its version says what is in its files."""

    name: str
    version: str


def is_interpreters(path: Path) -> bool:
    """Whether a file is of Python's standard library."""
    return path.is_relative_to(_STANDARD_LIBRARY) and not _INSTALLED & {*path.relative_to(_STANDARD_LIBRARY).parts}


def release_of(path: Path) -> Release | None:
    """The release that a file was installed from; None for a user's own.

    A user's own are files that no distribution lists, as of an editable install; those of plugins; and those of a
    distribution that was installed from a folder or a repository, where the same version may hold other files.
    """
    for folder in path.parents:
        for information, listed in _distributions(folder):
            if f"\n{path.relative_to(folder).as_posix()}," in listed:
                found = Distribution.at(information)
                own = found.name in _plugins() or _is_local(found)
                return None if own else Release(found.name, found.version)
    return None


@functools.cache
def _distributions(folder: Path) -> tuple[tuple[Path, str], ...]:
    """Of the distributions installed into a folder: where they describe themselves, and the list of their files."""
    return tuple(_lists(folder))


def _lists(folder: Path) -> Iterator[tuple[Path, str]]:
    for record in sorted(folder.glob("*.dist-info/RECORD")):
        yield record.parent, "\n" + record.read_text(encoding="utf-8", errors="replace")


@functools.cache
def _plugins() -> frozenset[str]:
    return frozenset(entry.dist.name for entry in entry_points(group=GROUP) if entry.dist)


def _is_local(distribution: Distribution) -> bool:
    # Conda builds everything from a folder, and says so.
    installer = (distribution.read_text("INSTALLER") or "").strip()
    return distribution.read_text("direct_url.json") is not None and installer != "conda"
