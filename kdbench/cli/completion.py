"""Names that a shell completes, without loading the plugins that brought them.

Kept in `names.json` (`kdbench/store/kept.py`) by every command that loads plugins; a shell that finds none there, or
those of other installed plugins, waits once until they are loaded.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from kdbench.store import kept

if TYPE_CHECKING:
    from kdbench.registry import Registry

NAME = "names.json"
#: What a plugin can bring that has a name; recipes are kdbench's own.
KINDS = ("method", "architecture", "dataset", "grid")


def names(kind: str) -> Callable[[str], list[str]]:
    """What completes a name of a kind: method, architecture, dataset, grid or recipe."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in _known(kind) if name.lower().startswith(incomplete.lower())]

    return complete


def anything(incomplete: str) -> list[str]:
    """What completes a name of any kind."""
    return [name for kind in (*KINDS, "recipe") for name in names(kind)(incomplete)]


def several(kind: str) -> Callable[[str], list[str]]:
    """The same for the last of several names with commas between."""
    complete_one = names(kind)

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in complete_one(last)]

    return complete


def keep(registry: Registry) -> None:
    """Remember the names of a registry of installed plugins, if they are others than before."""
    from kdbench.recipe import recipe_names

    found = {"installed": _installed(), "recipe": recipe_names()} | {kind: registry.usable(kind) for kind in KINDS}
    if not found.items() <= kept.entries(NAME).items():
        kept.add(NAME, found)


def _known(kind: str) -> list[str]:
    found = kept.entries(NAME)
    if found.get("installed") != _installed():
        from kdbench.plugins import load_plugins

        with contextlib.redirect_stdout(sys.stderr):
            keep(load_plugins())
        found = kept.entries(NAME)
    return [str(name) for name in found.get(kind, [])]


@functools.cache
def _installed() -> list[list[str]]:
    """The plugins that are installed, with the versions of their distributions."""
    found = importlib.metadata.entry_points(group="kdbench")
    # An editable install may be found twice, through its metadata and through the path.
    distinct = {(entry.name, entry.value, entry.dist.version if entry.dist else "") for entry in found}
    return [list(entry) for entry in sorted(distinct)]
