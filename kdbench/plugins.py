"""Finding plugins and loading them guardedly."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import itertools
import logging
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import pluggy

from kdbench import hookspecs
from kdbench.environment.distributions import GROUP
from kdbench.inputs.errors import UserError
from kdbench.registered.memory import Memory
from kdbench.registered.offers import FILE, Plugin
from kdbench.registry import Registry

logger = logging.getLogger(__name__)
#: What is remembered spares the import of PyTorch. A program that has made it before has nothing to gain, and may have
#: changed what its modules hold.
_REMEMBERS = "torch" not in sys.modules


@functools.cache
def load_plugins(files: tuple[Path, ...] = ()) -> Registry:
    """The registry of all installed plugins (entry-point group `kdbench`) and of single plugin files."""
    from kdbench.registered.loaded import Loaded

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    plugins: list[Plugin] = []
    for entry in _entry_points():
        distribution = entry.dist
        plugin = Plugin(
            _unique(f"{entry.name}", plugins),
            distribution.name if distribution else "unknown",
            distribution.version if distribution else "",
        )
        _register(manager, plugin, entry.load)
        plugins.append(plugin)
    for path in files:
        plugin = Plugin(_unique(path.stem, plugins), str(path), FILE)
        _register(manager, plugin, functools.partial(_import_file, _specification(path)))
        if plugin.error:
            raise UserError(f"plugin file {path}: {plugin.error}; mend it or leave --plugin out")
        plugins.append(plugin)
    loaded = Loaded(manager, plugins)
    return Registry(loaded.offers, lambda: loaded)


def known_plugins(files: tuple[Path, ...] = ()) -> Registry:
    """The same, but loaded when what is asked is not remembered; for commands that may need nothing else."""
    if not _REMEMBERS:
        return load_plugins(files)
    memory = Memory(files)
    if memory.offers:
        return Registry(memory.offers, lambda: load_plugins(files).loaded, memory)
    loaded = load_plugins(files).loaded
    registry = Registry(loaded.offers, lambda: loaded, memory)
    memory.keep(registry)
    return registry


def _entry_points() -> Iterable[importlib.metadata.EntryPoint]:
    found = importlib.metadata.entry_points(group=GROUP)
    # An editable install may be found twice, through its metadata and through the path.
    distinct = {(e.dist.name if e.dist else "", e.name, e.value): e for e in found}
    return sorted(distinct.values(), key=lambda e: ((e.dist.name if e.dist else "") != GROUP, e.name, e.value))


def _unique(name: str, plugins: list[Plugin]) -> str:
    taken = {plugin.name for plugin in plugins}
    return name if name not in taken else f"{name}#{sum(p.split('#')[0] == name for p in taken) + 1}"


def _register(manager: pluggy.PluginManager, plugin: Plugin, load: Callable[[], object]) -> None:
    """Load and register one plugin; whatever goes wrong is noted on it and takes nothing else down."""
    from kdbench.registered.loaded import FAILURES, sentence

    try:
        manager.register(load(), name=plugin.name)
        manager.check_pending()
    except FAILURES as error:
        plugin.error = sentence("loading failed", error)
        if manager.has_plugin(plugin.name):
            manager.unregister(name=plugin.name)
        logger.debug("plugin %s\n%s", plugin.origin, traceback.format_exc())


def _specification(path: Path) -> ModuleSpec:
    if not path.is_file():
        raise UserError(f"plugin file {path} does not exist; give --plugin the path of a Python file.")
    if path.suffix != ".py":
        raise UserError(f"plugin file {path} is not a Python file; its name must end in .py.")
    name, file = _module_name(path.resolve()), path.resolve()
    specification = importlib.util.spec_from_file_location(name, file, loader=_FromSource(name, str(file)))
    assert specification is not None, "there is one wherever a loader is given"
    return specification


class _FromSource(SourceFileLoader):
    """Compiles what the file says now. Python takes compiled code for a file's wherever size and second of change are
    the same, which a file that was edited at once, or copied with its times, may have from before.
    """

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _module_name(path: Path) -> str:
    """The same wherever the file lies, since results name the modules that they rest on; numbered where two files of
    one name are in use.
    """
    first = f"kdbench_file_{path.stem}"
    names = (first if number == 1 else f"{first}_{number}" for number in itertools.count(1))
    return next(name for name in names if getattr(sys.modules.get(name), "__file__", str(path)) == str(path))


def _import_file(specification: ModuleSpec) -> ModuleType:
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    assert specification.loader is not None
    try:
        specification.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise _beside(Path(str(module.__file__)).parent, error) or error from None
    return module


def _beside(folder: Path, error: ModuleNotFoundError) -> UserError | None:
    """What to do about a module that is not found although it lies beside the plugin's file; None where it does not."""
    name = str(error.name).partition(".")[0]
    if not any((folder / place).exists() for place in (f"{name}.py", name)):
        return None
    return UserError(
        f"it imports {name}, which lies beside it, where Python does not look unless told to: set PYTHONPATH={folder}"
    )
