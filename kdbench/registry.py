"""Everything that plugins offer, by kind and name. They are loaded when what is asked takes their code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kdbench.data.dataset import DatasetSource
from kdbench.data.lookup import beside, resolve_dataset
from kdbench.environment.distributions import GROUP
from kdbench.inputs.errors import UserError, unknown
from kdbench.inputs.networks import NetworkOfScheme, Setting, network_of_scheme, splits
from kdbench.registered.offers import SCHEME, Offers, Plugin

if TYPE_CHECKING:
    from kdbench.environment.sources import Sources
    from kdbench.method import Method
    from kdbench.model import Architecture
    from kdbench.registered.loaded import Loaded
    from kdbench.registered.memory import Memory
    from kdbench.scheme import ArchitectureScheme

T = TypeVar("T")


class Registry:
    """What plugins offer. Names and origins are known at once; methods, networks and observers by `load`.

    `memory` holds answers of their code that earlier commands have had.
    """

    def __init__(self, offers: Offers, load: Callable[[], Loaded], memory: Memory | None = None):
        self.offers = offers
        self._load = load
        self._memory = memory
        self._made: dict[str, Architecture] = {}

    @cached_property
    def loaded(self) -> Loaded:
        """The plugins themselves."""
        return self._load()

    def ask(self, question: Callable[..., T], *arguments: Any) -> T:
        """The answer to a question about plugins' code, `question(registry, *arguments)`: plain data, which follows
        from that code and the arguments alone. It is remembered where there is a memory.

        An answer is what JSON makes of it, remembered or not; so a tuple is a list. One that is an error is none.
        """
        key = repr((question.__module__, question.__qualname__, *arguments))
        # What was remembered when the command began may not be what the plugins that are loaded since would say.
        known = self._memory.answers.get(key) if self._memory and "loaded" not in vars(self) else None
        if known is None:
            # In a list, for an answer may be None.
            known = json.loads(json.dumps([question(self, *arguments)], default=_plain))
            if self._memory:
                self._memory.add(key, known, self)
        return cast(T, known[0])

    @property
    def plugins(self) -> list[Plugin]:
        """All plugins, those that could not be loaded among them."""
        return self.offers.plugins

    @property
    def problems(self) -> list[str]:
        """One sentence for each broken or empty plugin, each offer that is refused and each name registered twice."""
        return self.offers.problems

    @property
    def sources(self) -> Sources:
        """The code of the loaded plugins."""
        return self.loaded.sources

    def names(self, kind: str) -> list[str]:
        """Names of one kind, sorted: method, architecture, architecture scheme, dataset, grid or paper table."""
        return sorted(self.offers.of_kind[kind], key=str.lower)

    @property
    def harness(self) -> Plugin:
        """kdbench's own plugin."""
        return next(plugin for plugin in self.plugins if plugin.distribution == GROUP)

    def usable(self, kind: str) -> list[str]:
        """Names of one kind that only one plugin offers."""
        return [name for name in self.names(kind) if len(self.offers.of_kind[kind][name]) == 1]

    def plugin_of(self, kind: str, name: str) -> Plugin:
        """The plugin that brought `name`, or the scheme that it begins with."""
        if kind == "architecture" and (written := network_of_scheme(name)):
            kind, name = SCHEME, written.scheme
        return self.plugins[self.offers.of_kind[kind][name][0]]

    def name(self, kind: str, name: str) -> str:
        """A name as its plugin spells it; `UserError` names the nearest for an unknown one."""
        if kind == "architecture" and (written := network_of_scheme(name)):
            return self._of_scheme(written)["name"]
        offers = self.offers.of_kind[kind]
        key = next((known for known in offers if known.lower() == name.lower()), None)
        if key is None:
            listing = f"kdbench list {kind}s" if kind != "paper table" else None
            raise unknown(kind, name, offers, listing)
        if len(offers[key]) > 1:
            raise UserError(self.offers.clash(kind, key))
        return key

    def _get(self, kind: str, name: str) -> Any:
        return self.loaded.values[kind][self.name(kind, name)]

    def method(self, name: str) -> type[Method]:
        """A method class by name; `UserError` names the nearest for an unknown one."""
        method: type[Method] = self._get("method", name)
        return method

    def architecture(self, name: str) -> Architecture:
        """A network by name, or `scheme:name`, upper and lower case alike."""
        if written := network_of_scheme(name):
            return self._made_by(self.scheme(written.scheme), written)
        architecture: Architecture = self._get("architecture", name)
        return architecture

    def family(self, architecture: str) -> str:
        """What recipes' learning rates call a network."""
        if written := network_of_scheme(architecture):
            return self._of_scheme(written)["family"]
        return self.offers.families[self.name("architecture", architecture)]

    def scheme(self, name: str) -> ArchitectureScheme:
        """What makes networks by name."""
        scheme: ArchitectureScheme = self._get(SCHEME, name)
        return scheme

    def pair(self, text: str) -> tuple[str, str]:
        """The networks' names that `teacher:student` means, of which each may have a scheme before it."""
        read = [both for both in splits(text) if all(self._is_network(name) for name in both)]
        if len(read) == 1:
            teacher, student = read[0]
            return self.name("architecture", teacher), self.name("architecture", student)
        if read:
            ways = " or ".join(f"'{teacher}' and '{student}'" for teacher, student in read)
            raise UserError(f"the pair '{text}' may mean {ways}; rename one of these networks.")
        written = text.split(":")
        if len(written) == 2 and self.has_scheme(written[0]):
            raise UserError(f"'{text}' is one network, and a pair is two: write TEACHER:STUDENT, as in {text}:{text}.")
        raise self._no_pair(text)

    def _no_pair(self, text: str) -> UserError:
        """What is wrong with the names in a text that is no pair."""
        for names in splits(text):
            schemes = [name.partition(":")[0] for name in names if ":" in name]
            if all(map(self.has_scheme, schemes)):
                wrong = next(name for name in names if not self._is_network(name))
                return unknown("architecture", wrong, self.offers.of_kind["architecture"], "kdbench list architectures")
        schemes = self.names(SCHEME)
        return UserError(
            f"'{text}' is no pair: it is written TEACHER:STUDENT, each the name of a network or SCHEME:NAME; schemes: "
            f"{', '.join(schemes) or 'none'}."
        )

    def has_scheme(self, name: str) -> bool:
        """Whether something makes networks behind that name and a colon."""
        return name.lower() in (known.lower() for known in self.offers.of_kind[SCHEME])

    def _is_network(self, text: str) -> bool:
        """Whether a text can be a network's name: a registered one, or one behind a scheme."""
        scheme, colon, rest = text.partition(":")
        if colon:
            return bool(rest) and self.has_scheme(scheme)
        return text.lower() in (known.lower() for known in self.offers.of_kind["architecture"])

    def _of_scheme(self, written: NetworkOfScheme) -> dict[str, str]:
        """Name and family of a network, as its scheme spells them."""
        return self.ask(_described, self.name(SCHEME, written.scheme), written.name, sorted(written.settings.items()))

    def _made_by(self, scheme: ArchitectureScheme, written: NetworkOfScheme) -> Architecture:
        """A network of a scheme, one and the same whenever it is asked for."""
        found = scheme.with_argument(written.name, written.settings)
        name = str(replace(written, scheme=scheme.name, name=found.name))
        return self._made.setdefault(name, replace(found, name=name))

    def dataset(self, name: str) -> DatasetSource:
        """A data set by name, or `scheme:argument` as in `parquet:DIR`."""
        return resolve_dataset(name, _Sources(self))

    def dataset_beside(self, name: str, folder: Path) -> str:
        """`name` as a file in `folder` means it: see `kdbench.data.lookup.beside`."""
        return beside(name, folder, _Sources(self))

    def dataset_source(self, name: str) -> DatasetSource:
        """A registered data set, or the source behind a scheme. kdbench's own are there without loading any plugin."""
        from kdbench.data import BUILTIN_SOURCES

        known = self.name("dataset", name)
        if self.plugin_of("dataset", known).distribution == GROUP:
            return next(source for source in BUILTIN_SOURCES if source.name == known)
        source: DatasetSource = self._get("dataset", known)
        return source

    def grid_file(self, name: str) -> Path:
        """The file of a grid by name."""
        return self.offers.files["grid"][self.name("grid", name)]

    def paper_table_file(self, name: str) -> Path:
        """The file of a published table by name."""
        return self.offers.files["paper table"][self.name("paper table", name)]

    @property
    def architectures(self) -> list[str]:
        """Names of all networks."""
        return self.names("architecture")

    def observing(self, *observers: object) -> AbstractContextManager[None]:
        """Inside the context, objects with lifecycle hooks watch the runs of this process."""
        return self.loaded.observing(*observers)

    def notify(self, hook: str, **event: Any) -> None:
        """Tell every observer of a lifecycle event; one that raises is reported once and never stops training."""
        self.loaded.notify(hook, event)


def _described(registry: Registry, scheme: str, name: str, settings: list[tuple[str, Setting]]) -> dict[str, str]:
    """Name and family of a network of a scheme: a question for `Registry.ask`."""
    architecture = registry.architecture(str(NetworkOfScheme(scheme, name, dict(settings))))
    return {"name": architecture.name, "family": architecture.family}


def _plain(value: object) -> object:
    """What JSON knows not: of a set its members, of anything else its text."""
    return [*value] if isinstance(value, Iterable) else str(value)


class _Sources(Mapping[str, DatasetSource]):
    """The usable data sets by name, each looked for when it is asked for."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._names = registry.usable("dataset")

    def __getitem__(self, name: str) -> DatasetSource:
        if name not in self._names:
            raise KeyError(name)
        return self._registry.dataset_source(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
