"""What this process has been made of: the files of its modules, by folder, and the state that they are in.

Two processes that find the same files in the same state, with the same interpreter, run the same code.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Seconds after which a file's times can be trusted to change when it is written again.
SETTLED = 2.0
#: Files that the packages of plugins may have together to be looked at one by one.
MOST = 10_000
#: What says which distributions are installed, and where else modules are looked for.
_METADATA = (".dist-info", ".egg-info", ".egg-link", ".pth")
_BEGAN = time.time()


@dataclass(frozen=True)
class Footing:
    """Names of files by their folder, and folders of which it counts which names are in them: where modules are looked
    for, a new one may stand in the way of another.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    def __or__(self, other: Footing) -> Footing:
        """Both together."""
        folders = sorted({*self.files, *other.files})
        files = {folder: sorted({*self.files.get(folder, ()), *other.files.get(folder, ())}) for folder in folders}
        return Footing(files, sorted({*self.folders, *other.folders}))

    @classmethod
    def of(cls, files: Iterable[str], folders: Iterable[str] = ()) -> Footing:
        """That of some files, by their paths, and folders."""
        found: dict[str, set[str]] = {}
        for file in files:
            folder, name = os.path.split(file)
            found.setdefault(folder, set()).add(name)
        return cls({folder: sorted(names) for folder, names in sorted(found.items())}, sorted({*folders}))


class State(NamedTuple):
    """`digest` changes whenever one of the files does; `settled` says whether all were older than this process."""

    digest: str
    settled: bool


def places() -> list[str]:
    """Where modules are looked for."""
    return [os.path.abspath(place) for place in sys.path]  # noqa: PTH100  (a link's target may have other names)


def footing_of_process(packages: Iterable[str]) -> Footing:
    """The files of all modules that are loaded, and all that lie in the folders of `packages`.

    Raises `OSError` where there are too many.
    """
    files, folders = [], places()
    files += [os.path.join(place, name) for place in folders for name in _names(place) if name.endswith(_METADATA)]  # noqa: PTH118
    for module in [*sys.modules.values()]:
        # What stands in for a module may make one of whatever it is asked for.
        specification: Any = getattr(module, "__dict__", {}).get("__spec__")
        folders += getattr(specification, "submodule_search_locations", None) or ()
        if getattr(specification, "has_location", False) and specification.origin:
            files.append(specification.origin)
    for folder, names in _below(packages):
        folders.append(folder)
        files += [os.path.join(folder, name) for name in names]  # noqa: PTH118
    return Footing.of(files, map(str, folders))


def _below(packages: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    count = 0
    for package in packages:
        for top in getattr(sys.modules.get(package), "__path__", ()):
            for folder, folders, files in os.walk(top):
                folders[:] = filter(_counts, folders)
                yield folder, [*filter(_counts, files)]
                if (count := count + len(files)) > MOST:
                    raise OSError(f"{top} holds too many files")


def state_of(footing: Footing) -> State:
    """The state of files as they are now. Raises `OSError` where one of them cannot be looked at, as in an archive."""
    digest, latest = hashlib.sha256(), 0.0
    for folder in footing.folders:
        digest.update(repr((folder, _names(folder))).encode(errors="surrogateescape"))
    for folder, names in footing.files.items():
        digest.update(repr(folder).encode(errors="surrogateescape"))
        for name in names:
            found = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118  (there are thousands)
            # Who writes into a file may set its times back, but not the time of its change.
            told = (name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            digest.update(repr(told).encode(errors="surrogateescape"))
            latest = max(latest, found.st_ctime)
    return State(digest.hexdigest(), latest < _BEGAN - SETTLED)


def _names(folder: str) -> list[str]:
    try:
        return sorted(filter(_counts, os.listdir(folder)))  # noqa: PTH208
    except OSError:  # nothing that is there: an archive, or a place that was never made
        return []


def _counts(name: str) -> bool:
    """Whether a name in a folder is more than Python's own notes, or an editor's."""
    return name != "__pycache__" and not name.startswith(".")
