"""Where in a method's source something happened, in words."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.method import Method


def _folder(package: str) -> str:
    specification = importlib.util.find_spec(package)
    assert specification and specification.origin
    return str(Path(specification.origin).parent)


#: Code that carries out what a method asks for; the method's author cannot mend it.
MACHINERY = (_folder("kdbench"), _folder("torch"))


def homes(method: type[Method]) -> frozenset[str]:
    """Folders of the files that define a method and the classes that it builds on."""
    from kdbench.method import Method

    files = (_source_file(parent) for parent in method.__mro__ if issubclass(parent, Method))
    return frozenset(str(Path(file).parent) for file in files if file and not file.startswith(MACHINERY))


def _source_file(method: type[Method]) -> str | None:
    """The file of a class; None for one that was typed into an interpreter."""
    try:
        return inspect.getsourcefile(method)
    except (TypeError, OSError):
        return None


def current_place(folders: Iterable[str], until: CodeType) -> str:
    """The innermost line in `folders` that is being executed now, `until` being the outermost code looked at."""
    frame = sys._getframe(1)
    lines = []
    while frame.f_code is not until and frame.f_back is not None:
        lines.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return _innermost(lines, folders) or "in the backward pass of one of its operations"


def describe(error: BaseException, folders: Iterable[str]) -> str:
    """An error in one sentence, with the line of the method that raised it."""
    frames = [(frame.filename, frame.lineno or 0) for frame in reversed(traceback.extract_tb(error.__traceback__))]
    place = _innermost(frames, folders)
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (f"{name}: {text}" if text else name) + (f", {place}" if place else "")


@contextmanager
def exits_refused() -> Iterator[None]:
    """Around a method's code: an exit would end the command, and with exit code 0 as if all were well."""
    try:
        yield
    except SystemExit as error:
        refused = RuntimeError(f"the method calls sys.exit({error.code!r})")
        raise refused.with_traceback(error.__traceback__) from None


@contextmanager
def asking(method: type[Method], what: str) -> Iterator[None]:
    """Turns what a method's declaration `what` raises into a `UserError`."""
    try:
        with exits_refused():
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"method '{method.name}': `{what}` raises {describe(error, homes(method))}; mend it or leave it out."
        ) from error


def _innermost(lines: list[tuple[str, int]], folders: Iterable[str]) -> str | None:
    found = next((line for line in lines if str(Path(line[0]).parent) in folders), None)
    if found is None:
        return None
    file, number = found
    return f"at {Path(file).name}:{number}: `{linecache.getline(file, number).strip()}`"
