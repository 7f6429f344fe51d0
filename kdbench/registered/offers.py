"""What plugins brought as plain data: names, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

#: The kind of what makes networks by name.
SCHEME = "architecture scheme"


#: What a plugin that is a file has in the place of a version.
FILE = "file"


@dataclass
class Plugin:
    """One entry point (or file): where it came from, what it brought, and what went wrong with it."""

    name: str
    distribution: str
    version: str
    error: str | None = None
    brought: dict[str, list[str]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Name, distribution and version, as messages quote them."""
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass
class Offers:
    """By kind and name the plugins that offer it, as places in `plugins`: more than one where they clash.

    `families` are the networks' (of each name the first that is offered), `files` those of grids and paper tables;
    `problems` is a sentence for whatever is wrong with a plugin or an offer.
    """

    plugins: list[Plugin]
    of_kind: dict[str, dict[str, list[int]]]
    families: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Path]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every plugin could be loaded."""
        return not any(plugin.error for plugin in self.plugins)

    def clash(self, kind: str, name: str) -> str:
        """A sentence on a name that several plugins offer."""
        origins = " and ".join(self.plugins[place].origin for place in self.of_kind[kind][name])
        return f"{kind} '{name}' is registered twice, by {origins}; uninstall or rename one of them"
