"""What plugins brought and answered, remembered: a command that needs nothing else of them loads none of them, nor
PyTorch, which takes longer than all else that it does.

Kept in `answers.json` (`kdbench/store/kept.py`) with the files that it follows from: those of every module that was
loaded when the answer was given, of PyTorch as of a plugin. If one of them is not what it was, or another distribution
is installed, nothing is remembered. Nor is it where a plugin could not be loaded, or came out of an archive.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from kdbench.environment.footing import Footing, footing_of_process, places, state_of
from kdbench.registered.offers import Offers
from kdbench.store import kept

if TYPE_CHECKING:
    from kdbench.registry import Registry

NAME = "answers.json"
#: How many interpreters, with their sets of plugin files, and how many answers of each are remembered: the latest.
MOST, MOST_ANSWERS = 8, 5000


class _Entry(BaseModel):
    """What is remembered for one interpreter: `answers` by question, each in a list."""

    footing: Footing
    state: str
    offers: Offers
    answers: dict[str, list[Any]]


class Memory:
    """What is known of all installed plugins and of `plugin_files`; what is added is kept when the process ends."""

    def __init__(self, plugin_files: tuple[Path, ...] = ()):
        told = [sys.version, sys.prefix, *places(), *(str(path.resolve()) for path in plugin_files)]
        self._key = hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()
        self._plugin_files = plugin_files
        self._registry: Registry | None = None
        known = _known(self._key)
        #: What plugins offer, if it is known.
        self.offers = known.offers if known else None
        #: Answers by question, each in a list.
        self.answers = known.answers if known else {}

    def add(self, question: str, answer: list[Any], registry: Registry) -> None:
        """Remember an answer of the registry's plugins."""
        self.answers[question] = answer
        self.keep(registry)

    def keep(self, registry: Registry) -> None:
        """Remember what the registry offers, and the answers of its plugins so far."""
        if self._registry is None:
            atexit.register(self.save)
        self._registry = registry

    def save(self) -> None:
        """Write it down, unless a file was changed after this process began: what it answered may be the old file's."""
        registry = self._registry
        if registry is None or not registry.offers.whole:
            return
        # Read again: another command may have kept more meanwhile.
        known = _known(self._key)
        answers = dict([*((known.answers if known else {}) | self.answers).items()][-MOST_ANSWERS:])
        # OSError: a file in an archive; ValueError: a name that is no text.
        with contextlib.suppress(OSError, ValueError):
            footing = _footing(registry, self._plugin_files) | (known.footing if known else Footing())
            state = state_of(footing)
            if state.settled:
                entry = _Entry(footing=footing, state=state.digest, offers=registry.offers, answers=answers)
                text = entry.model_dump_json()
                kept.add(NAME, {self._key: [_digest(text), text]}, most=MOST)


def _footing(registry: Registry, plugin_files: Iterable[Path]) -> Footing:
    """What a registry's answers follow from."""
    loaded = registry.loaded
    modules = (loaded.manager.get_plugin(plugin.name) for plugin in registry.plugins)
    packages = {str(getattr(module, "__name__", "")).partition(".")[0] for module in modules}
    of_offers = [path for files in registry.offers.files.values() for path in files.values()]
    paths = (os.path.abspath(path) for path in (*plugin_files, *of_offers, *loaded.sources.files))  # noqa: PTH100
    return footing_of_process(packages) | Footing.of(paths, {str(path.parent) for path in of_offers})


def _known(key: str) -> _Entry | None:
    match kept.entries(NAME).get(key):
        # Else a damaged answer would be taken for one.
        case [str(digest), str(text)] if digest == _digest(text):
            try:
                entry = _Entry.model_validate_json(text)
                return entry if entry.state == state_of(entry.footing).digest else None
            except (ValidationError, OSError):
                return None
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
