"""What the loaded plugins brought, by kind and name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import pluggy

from kdbench.data.dataset import DatasetSource
from kdbench.data.lookup import beside, resolve_dataset
from kdbench.environment.distributions import GROUP
from kdbench.environment.sources import Sources
from kdbench.inputs.errors import UserError, unknown
from kdbench.inputs.names import unfit_name
from kdbench.method import Method, MethodParams
from kdbench.model import Architecture

T = TypeVar("T")
#: What a plugin's code may end in; a script without a `__main__` guard exits where it is imported.
FAILURES = (Exception, SystemExit)
logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Offer:
    """A named thing and the plugin that offers it."""

    value: Any
    plugin: Plugin


class Registry:
    """Everything that the loaded plugins offer, by kind and name."""

    def __init__(self, manager: pluggy.PluginManager, plugins: list[Plugin]):
        self.plugins = plugins
        self.sources = Sources()
        self._manager = manager
        self._by_module: dict[str, Plugin] = {plugin.name: plugin for plugin in plugins}
        self._offers: dict[str, dict[str, list[Offer]]] = {}
        self._silenced: set[str] = set()
        self._refused: list[str] = []
        for kind, (hook, name_of) in _KINDS.items():
            self._offers[kind] = self._collect(kind, hook, name_of)

    def _collect(self, kind: str, hook: str, name_of: Callable[[Any], str]) -> dict[str, list[Offer]]:
        offers: dict[str, list[Offer]] = {}
        # pluggy calls the last registered first; plugins are listed in the order they came.
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            plugin = self._by_module[implementation.plugin_name]
            try:
                named = [(name_of(value), value) for value in implementation.function()]
            except FAILURES as error:
                plugin.error = sentence(f"hook {hook} failed", error)
                continue
            for name, value in named:
                if why := _unfit(kind, name, value):
                    self._refused.append(f"{kind} {name!r} of plugin {plugin.origin} is not in use: {why}")
                    continue
                offers.setdefault(name, []).append(Offer(value, plugin))
                plugin.brought.setdefault(kind, []).append(name)
        return offers

    @property
    def problems(self) -> list[str]:
        """One sentence for each broken or empty plugin, each offer that is refused and each name registered twice."""
        broken = [f"plugin {p.origin} is not in use: {p.error}" for p in self.plugins if p.error]
        empty = [
            f"plugin {p.origin} brings nothing: it has no hook; define one, such as `kdbench_methods`, under "
            "`@kdbench.hookimpl`"
            for p in self.plugins
            if not p.error and not self._manager.get_hookcallers(self._manager.get_plugin(p.name))
        ]
        twice = [
            self._twice(kind, name, found)
            for kind, offers in self._offers.items()
            for name, found in offers.items()
            if len(found) > 1
        ]
        return broken + empty + self._refused + twice

    @staticmethod
    def _twice(kind: str, name: str, found: list[Offer]) -> str:
        origins = " and ".join(offer.plugin.origin for offer in found)
        return f"{kind} '{name}' is registered twice, by {origins}; uninstall or rename one of them"

    def names(self, kind: str) -> list[str]:
        """Names of one kind, sorted: method, architecture, dataset, grid or paper table."""
        return sorted(self._offers[kind], key=str.lower)

    @property
    def harness(self) -> Plugin:
        """kdbench's own plugin."""
        return next(plugin for plugin in self.plugins if plugin.distribution == GROUP)

    def usable(self, kind: str) -> list[str]:
        """Names of one kind that only one plugin offers."""
        return [name for name in self.names(kind) if len(self._offers[kind][name]) == 1]

    def plugin_of(self, kind: str, name: str) -> Plugin:
        """The plugin that brought `name`."""
        return self._offers[kind][name][0].plugin

    def _get(self, kind: str, name: str) -> Any:
        offers = self._offers[kind]
        key = next((known for known in offers if known.lower() == name.lower()), None)
        if key is None:
            listing = f"kdbench list {kind}s" if kind != "paper table" else None
            raise unknown(kind, name, offers, listing)
        if len(offers[key]) > 1:
            raise UserError(self._twice(kind, key, offers[key]))
        return offers[key][0].value

    def method(self, name: str) -> type[Method]:
        """A method class by name; `UserError` names the nearest for an unknown one."""
        method: type[Method] = self._get("method", name)
        return method

    def architecture(self, name: str) -> Architecture:
        """A network by name, upper and lower case alike."""
        architecture: Architecture = self._get("architecture", name)
        return architecture

    def dataset(self, name: str) -> DatasetSource:
        """A data set by name, or `scheme:argument` as in `parquet:DIR`."""
        return resolve_dataset(name, self._sources)

    def dataset_beside(self, name: str, folder: Path) -> str:
        """`name` as a file in `folder` means it: see `kdbench.data.lookup.beside`."""
        return beside(name, folder, self._sources)

    @property
    def _sources(self) -> dict[str, DatasetSource]:
        return {known: self.dataset_source(known) for known in self.usable("dataset")}

    def dataset_source(self, name: str) -> DatasetSource:
        """A registered data set, or the source behind a scheme."""
        source: DatasetSource = self._get("dataset", name)
        return source

    def grid_file(self, name: str) -> Path:
        """The file of a grid by name."""
        path: Path = self._get("grid", name)
        return path

    def paper_table_file(self, name: str) -> Path:
        """The file of a published table by name."""
        path: Path = self._get("paper table", name)
        return path

    @property
    def architectures(self) -> list[str]:
        """Names of all networks."""
        return self.names("architecture")

    @contextmanager
    def observing(self, *observers: object) -> Iterator[None]:
        """Inside the context, objects with lifecycle hooks watch the runs of this process."""
        names = [self._manager.register(observer) for observer in observers]
        try:
            yield
        finally:
            for name in names:
                self._manager.unregister(name=name)

    def notify(self, hook: str, **event: Any) -> None:
        """Tell every observer of a lifecycle event; one that raises is reported once and never stops training."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                implementation.function(**{name: event[name] for name in implementation.argnames})
            except FAILURES as error:
                if implementation.plugin_name not in self._silenced:
                    self._silenced.add(implementation.plugin_name)
                    logger.warning("observer %s: %s", implementation.plugin_name, sentence(f"{hook} failed", error))


_KINDS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "method": ("kdbench_methods", lambda method: method.name),
    "architecture": ("kdbench_architectures", lambda architecture: architecture.name),
    "dataset": ("kdbench_datasets", lambda source: source.name),
    "grid": ("kdbench_grids", lambda path: path.stem),
    "paper table": ("kdbench_paper_tables", lambda path: path.stem),
}


def _unfit(kind: str, name: object, value: object) -> str | None:
    """Why an offer cannot be taken, and what to do; None if it can."""
    if why := unfit_name(name):
        return f"{why}; rename it"
    if kind == "architecture" and not isinstance(value, Architecture):
        return "it is no `kdbench.Architecture`; make it one"
    if kind != "method":
        return None
    if not _derived(value, Method):
        return "it is no class derived from `kdbench.Method`; derive it from that"
    if not _derived(value.Params, MethodParams):
        return "its `Params` is no class derived from `kdbench.MethodParams`; derive it from that"
    return None


def _derived(value: object, base: type[T]) -> TypeGuard[type[T]]:
    return isinstance(value, type) and issubclass(value, base)


def sentence(what: str, error: BaseException) -> str:
    """What went wrong with a plugin's code, and why."""
    text = " ".join(str(error).split())
    return f"{what}: {text}" if isinstance(error, UserError) else f"{what}: {type(error).__name__}: {text}"
