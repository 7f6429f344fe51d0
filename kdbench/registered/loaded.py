"""Loaded plugins: the things that they brought, which of these can be used, and who watches runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeGuard, TypeVar

import pluggy

from kdbench.environment.sources import Sources
from kdbench.inputs.errors import UserError
from kdbench.inputs.names import unfit_name
from kdbench.method import Method, MethodParams
from kdbench.model import Architecture
from kdbench.registered.offers import SCHEME, Offers, Plugin
from kdbench.scheme import ArchitectureScheme

T = TypeVar("T")
#: What a plugin's code may end in; a script without a `__main__` guard exits where it is imported.
FAILURES = (Exception, SystemExit)
logger = logging.getLogger(__name__)


class Loaded:
    """The plugins of a manager, in the order of `plugins`: the values they offer by kind and name, and `offers`, the
    same as plain data.
    """

    def __init__(self, manager: pluggy.PluginManager, plugins: list[Plugin]):
        self.sources = Sources()
        self.manager = manager
        self.values: dict[str, dict[str, Any]] = {}
        self.offers = Offers(plugins, {})
        self._silenced: set[str] = set()
        self._refused: list[str] = []
        for kind, (hook, name_of) in _KINDS.items():
            self.values[kind], self.offers.of_kind[kind] = {}, {}
            self._collect(kind, hook, name_of)
        self.offers.families = {name: network.family for name, network in self.values["architecture"].items()}
        self.offers.files = {kind: dict(self.values[kind]) for kind in FILES}
        self.offers.problems = self._problems()

    def _collect(self, kind: str, hook: str, name_of: Callable[[Any], str]) -> None:
        values, places = self.values[kind], self.offers.of_kind[kind]
        by_module = {plugin.name: place for place, plugin in enumerate(self.offers.plugins)}
        # pluggy calls the last registered first; plugins are listed in the order they came.
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            place = by_module[implementation.plugin_name]
            plugin = self.offers.plugins[place]
            try:
                offered = [value for value in implementation.function() if _is_of(kind, value)]
                named = [(name_of(value), value) for value in offered]
            except FAILURES as error:
                plugin.error = sentence(f"hook {hook} failed", error)
                continue
            for name, value in named:
                if why := _unfit(kind, name, value):
                    self._refused.append(f"{kind} {name!r} of plugin {plugin.origin} is not in use: {why}")
                    continue
                values.setdefault(name, value)
                places.setdefault(name, []).append(place)
                plugin.brought.setdefault(kind, []).append(name)

    def _problems(self) -> list[str]:
        """One sentence for each broken or empty plugin, each offer that is refused and each name registered twice."""
        plugins = self.offers.plugins
        broken = [f"plugin {p.origin} is not in use: {p.error}" for p in plugins if p.error]
        empty = [
            f"plugin {p.origin} brings nothing: it has no hook; define one, such as `kdbench_methods`, under "
            "`@kdbench.hookimpl`"
            for p in plugins
            if not p.error and not self.manager.get_hookcallers(self.manager.get_plugin(p.name))
        ]
        twice = [
            self.offers.clash(kind, name)
            for kind, found in self.offers.of_kind.items()
            for name, places in found.items()
            if len(places) > 1
        ]
        return broken + empty + self._refused + twice

    @contextmanager
    def observing(self, *observers: object) -> Iterator[None]:
        """Inside the context, objects with lifecycle hooks watch the runs of this process."""
        names = [self.manager.register(observer) for observer in observers]
        try:
            yield
        finally:
            for name in names:
                self.manager.unregister(name=name)

    def notify(self, hook: str, event: Mapping[str, Any]) -> None:
        """Tell every observer of a lifecycle event; one that raises is reported once and never stops training."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                implementation.function(*map(event.__getitem__, implementation.argnames))
            except FAILURES as error:
                if implementation.plugin_name not in self._silenced:
                    self._silenced.add(implementation.plugin_name)
                    logger.warning("observer %s: %s", implementation.plugin_name, sentence(f"{hook} failed", error))


_KINDS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "method": ("kdbench_methods", lambda method: method.name),
    "architecture": ("kdbench_architectures", lambda architecture: architecture.name),
    SCHEME: ("kdbench_architectures", lambda scheme: scheme.name),
    "dataset": ("kdbench_datasets", lambda source: source.name),
    "grid": ("kdbench_grids", lambda path: path.stem),
    "paper table": ("kdbench_paper_tables", lambda path: path.stem),
}
#: Kinds that are files.
FILES = ("grid", "paper table")


def _is_of(kind: str, value: object) -> bool:
    """Whether an offer is of that kind: one hook has networks and schemes of networks."""
    return kind not in ("architecture", SCHEME) or (kind == SCHEME) == isinstance(value, ArchitectureScheme)


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
