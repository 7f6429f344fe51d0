"""Which files a plugin's class or function comes from: its module and what that imports within its own package."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

#: Our own package: changes to it that alter results change `NUMERIC_VERSION` instead.
HARNESS = __name__.partition(".")[0]


def module_of(thing: object) -> str:
    """Name of the module that defines a class or function, or the function behind a `functools.partial`."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    return str(getattr(thing, "__module__", type(thing).__module__))


class Sources:
    """The digests of modules' sources as they were when first asked for: a file that is changed later is not what runs.

    So they are asked for when plugins are loaded for training, not when a run begins.
    """

    def __init__(self) -> None:
        self._digests: dict[str, dict[str, str]] = {}

    def of(self, module: str) -> dict[str, str]:
        """`source_digests` of the module."""
        if module not in self._digests:
            self._digests[module] = source_digests(module)
        return self._digests[module]


def source_digests(module: str) -> dict[str, str]:
    """sha256 of the source file of `module` and of every module of its package that it imports, by module name.

    Imports are read from the source, so one inside a function counts; the harness's own modules do not.
    """
    digests: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in digests or path is None or name.partition(".")[0] == HARNESS:
            continue
        text = path.read_bytes()
        digests[name] = hashlib.sha256(text).hexdigest()
        package = name.partition(".")[0]
        parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [found for found in _imports(text, parent) if found.partition(".")[0] == package]
    return dict(sorted(digests.items()))


def _imports(text: bytes, parent: str) -> Iterator[str]:
    """Absolute names of the modules that a source in the package `parent` imports."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        # Changed since it was loaded; its own digest tells.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = parent.split(".")[: len(parent.split(".")) + 1 - node.level] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            modules = [f"{origin}.{alias.name}" for alias in node.names if _source(f"{origin}.{alias.name}")]
            # A package that only leads to a module is not what is imported.
            yield from modules
            if len(modules) < len(node.names):
                yield origin


def _source(module: str) -> Path | None:
    """The source file of a module; None for what is no module, or has no source."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None)
    else:
        try:
            specification = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            return None
        origin = specification.origin if specification else None
    path = Path(origin) if origin else None
    return path if path and path.suffix == ".py" and path.is_file() else None


def source_file(method: type) -> tuple[str, str]:
    """Path and sha256 of the file that defines a method."""
    path = inspect.getsourcefile(method)
    if path is None or not Path(path).is_file():
        return "unknown", ""
    return path, hashlib.sha256(Path(path).read_bytes()).hexdigest()
