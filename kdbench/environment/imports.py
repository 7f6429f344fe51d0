"""What a source file imports, read from it without running anything."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from pathlib import Path

#: Functions whose first argument is the name of a module.
_IMPORTERS = ("import_module", "__import__")


def imports(text: bytes, package: str) -> Iterator[str]:
    """Absolute names of the modules that a source in `package` (empty for a top-level module) imports.

    One inside a function counts, and a name that is written out for `importlib.import_module` or `__import__`.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        # Changed since it was loaded; its own digest tells.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                # `import a.b` gives the name `a`, and with it all that `a` has.
                yield from (".".join(parts[:n]) for n in range(len(parts) if alias.asname else 1, len(parts) + 1))
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(_absolute("." * node.level + (node.module or ""), package), node.names)
        elif isinstance(node, ast.Call) and _called(node.func) in _IMPORTERS:
            yield _named(node, package)


def _imported_from(origin: str, names: list[ast.alias]) -> Iterator[str]:
    modules = [module for alias in names if location(module := f"{origin}.{alias.name}")]
    # A package that only leads to a module is not what is imported.
    yield from modules
    if len(modules) < len(names):
        yield origin


def _called(function: ast.expr) -> str | None:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def _named(call: ast.Call, package: str) -> str:
    """The module that a call imports by its name, and by that of a package where it is written out as well."""
    texts = [_text(argument) for argument in (*call.args, *(keyword.value for keyword in call.keywords))]
    return _absolute(next(iter(texts), None) or "", next(filter(None, texts[1:]), package))


def _text(argument: ast.expr) -> str | None:
    """What is written out as a text; None for what is computed, such as `__package__`."""
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def _absolute(name: str, package: str) -> str:
    try:
        return resolve_name(name, package)
    except ImportError:  # it climbs out of its package, and fails where it is executed
        return ""


def location(module: str) -> Path | None:
    """The file of a module, loaded or not; None for what is no module, or has no file. Imports nothing."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        return file_of(loaded)
    specification = _specification(module)
    return Path(specification.origin) if specification and specification.has_location and specification.origin else None


def file_of(module: object) -> Path | None:
    """The file that a loaded module says it comes from."""
    file = getattr(module, "__file__", None)
    return Path(file) if isinstance(file, str) else None


def _specification(module: str) -> ModuleSpec | None:
    """What the import system would load; unlike `importlib.util.find_spec` it loads no parent package to know."""
    parent = module.rpartition(".")[0]
    places = _search_places(parent) if parent else None
    if not module or (parent and places is None):
        return None
    for finder in sys.meta_path:
        if (find := getattr(finder, "find_spec", None)) and (found := _found(find, module, places)):
            return found
    return None


def _found(find: Callable[..., ModuleSpec | None], module: str, places: list[str] | None) -> ModuleSpec | None:
    try:
        found = find(module, places)
        if found and found.submodule_search_locations is not None:
            found.submodule_search_locations = list(found.submodule_search_locations)
    except KeyError:
        # A namespace package asks its parent's module for its places, and that is not loaded.
        name = module.rpartition(".")[2]
        found = ModuleSpec(module, None)
        found.submodule_search_locations = [str(path) for place in places or () if (path := Path(place, name)).is_dir()]
    return found


def _search_places(package: str) -> list[str] | None:
    loaded = sys.modules.get(package)
    if loaded is not None:
        return list(getattr(loaded, "__path__", ())) or None
    specification = _specification(package)
    return specification.submodule_search_locations or None if specification else None
