"""What this process has been made of: the files of its modules, by folder, and the state that they are in.

Two processes that find the same files in the same state, with the same interpreter, run the same code.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

#: Names of files by folder; of each folder it counts, too, which names are in it.
Files = dict[str, list[str]]
#: Seconds after which a file's times can be trusted to change when it is written again.
SETTLED = 2.0
#: Files that the packages of plugins may have together to be looked at one by one.
MOST = 10_000
#: What says which distributions are installed, and where else modules are looked for.
_METADATA = (".dist-info", ".egg-info", ".egg-link", ".pth")
_BEGAN = time.time()


class State(NamedTuple):
    """`digest` changes whenever one of the files does; `settled` says whether all were older than this process."""

    digest: str
    settled: bool


def places() -> list[str]:
    """Where modules are looked for."""
    return [os.path.abspath(place) for place in sys.path]  # noqa: PTH100  (a link's target may have other names)


def files_of_process(packages: Iterable[str], others: Iterable[str]) -> Files:
    """The files of all modules that are loaded, all that lie in the folders of `packages`, and `others`.

    Raises `OSError` where there are too many.
    """
    found: dict[str, set[str]] = {}
    for module in [*sys.modules.values()]:
        # What stands in for a module may make one of whatever it is asked for.
        specification: Any = getattr(module, "__dict__", {}).get("__spec__")
        for folder in getattr(specification, "submodule_search_locations", None) or ():
            found.setdefault(str(folder), set())
        if getattr(specification, "has_location", False) and specification.origin:
            _add(found, specification.origin)
    for file in others:
        _add(found, file)
    for folder, names in _below(packages):
        found.setdefault(folder, set()).update(names)
    for place in places():
        found.setdefault(place, set()).update(name for name in _names(place) if name.endswith(_METADATA))
    return {folder: sorted(names) for folder, names in sorted(found.items())}


def _add(found: dict[str, set[str]], file: str) -> None:
    folder, name = os.path.split(file)
    found.setdefault(folder, set()).add(name)


def _below(packages: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    count = 0
    for package in packages:
        for top in getattr(sys.modules.get(package), "__path__", ()):
            for folder, folders, files in os.walk(top):
                folders[:] = [name for name in folders if _counts(name)]
                yield folder, [name for name in files if _counts(name)]
                if (count := count + len(files)) > MOST:
                    raise OSError(f"{top} holds too many files")


def state_of(files: Files) -> State:
    """The state of files as they are now. Raises `OSError` where one of them cannot be looked at, as in an archive."""
    digest, latest = hashlib.sha256(), 0.0
    for folder, names in files.items():
        digest.update(repr((folder, _names(folder))).encode(errors="surrogateescape"))
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
