"""Which code a plugin's class or function is: its module, and what that imports."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from kdbench.environment.distributions import is_interpreters, release_of
from kdbench.environment.imports import file_of, imports, location
from kdbench.environment.versions import PACKAGES


def module_of(thing: object) -> str:
    """Name of the module that defines a class or function, or the function behind a `functools.partial`."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    return str(getattr(thing, "__module__", type(thing).__module__))


@dataclass
class Code:
    """The sha256 of files by module name, and the versions of released distributions by their name."""

    files: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)

    @classmethod
    def union(cls, parts: Iterable[Code]) -> Code:
        """The code of all parts, in the order of names."""
        parts = list(parts)
        files = sorted(item for part in parts for item in part.files.items())
        return cls(dict(files), dict(sorted(item for part in parts for item in part.packages.items())))


class Sources:
    """The code of modules as it was when first asked for: a file that is changed later is not what runs.

    So they are asked for when plugins are loaded for training, not when a run begins.
    """

    def __init__(self) -> None:
        self._read: dict[Path, tuple[str, list[str]]] = {}
        self._code: dict[str, Code] = {}

    def of(self, module: str) -> Code:
        """The file of `module` and of all that it imports and that is imported there, and so on.

        The standard library does not count, nor does what the harness itself rests on, whose versions every record
        holds (changes to the harness that alter results change `NUMERIC_VERSION`). Of other releases the version counts
        and their own imports do not; the package of `module` counts file by file wherever it was installed from.
        """
        if module not in self._code:
            self._code[module] = self._follow(module)
        return self._code[module]

    @property
    def files(self) -> list[Path]:
        """All files that were read."""
        return [*self._read]

    def _follow(self, module: str) -> Code:
        code, package = Code(), module.partition(".")[0]
        waiting: list[tuple[str, Path | None]] = [(module, location(module))]
        while waiting:
            name, path = waiting.pop()
            top = name.partition(".")[0]
            if name in code.files or path is None or top in PACKAGES or is_interpreters(path) or not path.is_file():
                continue
            if top != package and (release := release_of(path)):
                code.packages[release.name] = release.version
                continue
            code.files[name], imported = self._file(name, path)
            waiting += [(other, location(other)) for other in imported]
            waiting += _held(name, path)
        return Code.union([code])

    def _file(self, name: str, path: Path) -> tuple[str, list[str]]:
        """Digest and imports of a module's file."""
        if path not in self._read:
            content = path.read_bytes()
            parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
            imported = list(dict.fromkeys(imports(content, parent))) if path.suffix == ".py" else []
            self._read[path] = hashlib.sha256(content).hexdigest(), imported
        return self._read[path]


def _held(name: str, path: Path) -> Iterator[tuple[str, Path | None]]:
    """Modules that a loaded module has in its names, however they came there: some are loaded from a path, or by a name
    that is put together.
    """
    module = sys.modules.get(name)
    if module is None or file_of(module) != path:
        return
    for held, value in list(vars(module).items()):
        # A package has those of its modules in its names that anybody has imported, and PyTorch's compiler adds those
        # that it came through.
        foreign = held.startswith("__import_")
        if isinstance(value, ModuleType) and not foreign and not value.__name__.startswith(f"{name}."):
            yield value.__name__, file_of(value)


def source_file(method: type) -> tuple[str, str]:
    """Path and sha256 of the file that defines a method."""
    path = inspect.getsourcefile(method)
    if path is None or not Path(path).is_file():
        return "unknown", ""
    return path, hashlib.sha256(Path(path).read_bytes()).hexdigest()
