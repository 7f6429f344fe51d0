"""Networks that a plugin makes by name: `SCHEME:NAME`, with settings `SCHEME:NAME+KEY=VALUE`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kdbench.inputs.networks import Setting

if TYPE_CHECKING:
    from kdbench.model import Architecture

__all__ = ["ArchitectureScheme", "Setting"]


class ArchitectureScheme(ABC):
    """Networks too many to list. A plugin registers instances through the hook `kdbench_architectures`, as networks."""

    #: What stands before the colon.
    name: str
    #: What it offers, for `kdbench list architectures`.
    about: str = ""

    @abstractmethod
    def with_argument(self, argument: str, settings: Mapping[str, Setting]) -> Architecture:
        """The network that `name:argument` with these settings means; its own name is `argument`, spelt well.

        Raises `UserError` for what there is not. The network follows from the plugin's code and both arguments alone.
        """

    def names(self) -> list[str]:
        """Every argument that can be listed; none, unless overridden."""
        return []
