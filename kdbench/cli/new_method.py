"""`kdbench new-method NAME`: a package of one's own to start from."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated

import typer

from kdbench.cli.terminal import tell
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError
from kdbench.inputs.names import unfit_name

if TYPE_CHECKING:
    from kdbench.registry import Registry

#: File of the package ← template.
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "$module.py": "method.py",
    "tests/conftest.py": "conftest.py",
    "tests/test_$name.py": "test_method.py",
}


def new_method(
    name: Annotated[str, typer.Argument(help="The method's name: lower-case letters, digits and underscores.")],
    directory: Annotated[
        Path | None,
        typer.Option(parser=paths.new_folder, metavar="FOLDER", help="Folder to write; by default kdbench-NAME."),
    ] = None,
) -> None:
    """Write an installable package with one working method, its tests and a README."""
    from kdbench.cli.values import registry_with
    from kdbench.store.files import write_atomically

    registry = registry_with(None)
    words = names(name, registry)
    folder = directory or paths.new_folder(words["distribution"])
    if folder.exists():
        raise UserError(f"{folder} is already there; name another folder with --directory, or move it away.")
    for path, template in FILES.items():
        file = folder / Template(path).substitute(words)
        text = files("kdbench.templates").joinpath(f"{template}.template").read_text(encoding="utf-8")
        write_atomically(file, Template(text).substitute(words).encode())
    quoted = shlex.quote(str(folder))
    tell(f"Wrote {folder}. Next:\n  python -m pip install -e {quoted}\n  python -m pytest {quoted}")


def names(name: str, registry: Registry) -> dict[str, str]:
    """What templates fill in for a method. Raises `UserError` for a name that cannot be one."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or keyword.iskeyword(name):
        raise UserError(
            f"'{name}' cannot be a method's name; take lower-case letters, digits and underscores, a letter first, and "
            "no word of Python's own."
        )
    class_name = "".join(word[:1].upper() + word[1:] for word in name.split("_"))
    if keyword.iskeyword(class_name):
        raise UserError(
            f"'{name}' cannot be a method's name: its class would be {class_name}, a word of Python's own; take "
            "another name."
        )
    if why := unfit_name(name):
        raise UserError(f"'{name}' cannot be a method's name: {why}; take another name.")
    taken = {known.lower(): known for known in registry.names("method")}
    if name in taken:
        origin = registry.plugin_of("method", taken[name]).origin
        raise UserError(f"method '{taken[name]}' is already there, from {origin}; take another name.")
    module = f"kdbench_{name}"
    if importlib.util.find_spec(module):
        raise UserError(f"the module {module} of a method '{name}' is already installed; take another name.")
    return {
        "name": name,
        "module": module,
        "distribution": "kdbench-" + name.strip("_").replace("_", "-"),
        "class_name": class_name,
    }
