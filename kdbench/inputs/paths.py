"""Paths that a user gives, in an option, a grid or a variable: the one place that takes them in.

Each function takes the words as they were given and returns the path with `~` expanded, or raises `UserError` in one
sentence. Their names are what help calls the value of an option that they read.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kdbench.inputs.errors import UserError
from kdbench.inputs.names import reserved
from kdbench.inputs.visible import visible

#: Bytes that a part of a path may have, and of them what a file needs beside its name while it is written.
MAX_PART, WHILE_WRITTEN = 255, 24
#: Bytes of the longest path that the system takes, and of them what lies below a folder that is given.
MAX_PATH, BELOW = (os.pathconf("/", "PC_PATH_MAX") if hasattr(os, "pathconf") else 260), 160

Given = str | os.PathLike[str]


def file(given: Given) -> Path:
    """A file to read, which need not be there yet."""
    path = _given(given, written=False)
    _refuse_folder(path)
    return path


def folder(given: Given) -> Path:
    """A folder to read, which need not be there yet."""
    path = _given(given, written=False)
    _refuse_file(path)
    return path


def path(given: Given) -> Path:
    """A file or a folder to read."""
    path = _given(given, written=False)
    _refuse_unreadable(path)
    return path


def results_folder(given: Given) -> Path:
    """A results folder, to read or to make."""
    path = _given(given, written=True)
    _refuse_file(path)
    return path


def new_folder(given: Given) -> Path:
    """A folder to write into, there or not."""
    path = results_folder(given)
    _refuse_unwritable(path)
    return path


def new_file(given: Given) -> Path:
    """A file to write, there or not."""
    path = _given(given, written=True)
    _refuse_folder(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no regular file and would be replaced by one; name another file.")
    _refuse_unwritable(path)
    return path


def cache_folder() -> Path:
    """Where kdbench keeps what it can make again; in the system's folder for such things if there is no home."""
    try:
        return _expanded("~") / ".cache" / "kdbench"
    except UserError:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"kdbench-{user}"


def _given(given: Given, *, written: bool) -> Path:
    text = os.fspath(given)
    if not text:
        raise UserError("an empty path names nothing; give the path of a file or folder.")
    if why := _unfit(text, written):
        raise UserError(f"the path {_short(text)} {why}.")
    path = _expanded(text)
    try:
        absolute = path.absolute()
    except OSError as error:
        raise UserError(f"{path} lies in the working folder, which is gone; change to another folder.") from error
    if len(os.fsencode(absolute)) > MAX_PATH - BELOW:
        raise UserError(f"the path {_short(text)} is too long for this system with what lies below it; shorten it.")
    _refuse_unreachable(absolute, path)
    return path


def _unfit(text: str, written: bool) -> str | None:
    """Why a path cannot be, or cannot be written on every system, and what to do; None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not UTF-8, and could not be kept in a record; rename it, or link to it under another name"
    if visible(text) != text or "\n" in text or "\t" in text:
        return "holds characters that cannot be shown; take another name"
    most = MAX_PART - WHILE_WRITTEN if written else MAX_PART
    for part in Path(text).parts:
        if len(part.encode()) > most:
            return f"has a name of more than {most} bytes; take a shorter one"
        if written and (why := reserved(part)):
            return f"cannot be written everywhere: {why}; take another name"
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]}…")


def _expanded(text: str) -> Path:
    home = text.partition("/")[0]
    if not home.startswith("~"):
        return Path(text)
    try:
        found = Path(text).expanduser()
    except RuntimeError:
        found = None
    # A HOME that is empty or relative is none.
    if found is None or not found.is_absolute() or (home == "~" and os.environ.get("HOME") == ""):
        raise UserError(f"{home} stands for no home folder here; write the path out (./{home} is what is called so).")
    return found


def _refuse_unreachable(absolute: Path, shown: Path) -> None:
    """Refuse a loop of links, a folder that may not be entered, and a link to nothing: what is there cannot be told."""
    try:
        absolute.stat()
    except (FileNotFoundError, NotADirectoryError):
        for place in (*reversed(absolute.parents), absolute):
            if place.is_symlink() and not place.exists():
                target = place.readlink()
                raise UserError(f"{place} is a link to nothing ({target}); make that, or name another place.") from None
    except OSError as error:
        raise UserError(f"{shown} cannot be reached ({error.strerror}); mend that, or name another place.") from error


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file; name a file")
    _refuse_file_above(path)


def _refuse_file(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file, not a folder; name a folder")
    _refuse_file_above(path)
    _refuse_unreadable(path)


def _refuse_file_above(path: Path) -> None:
    blocking = next((above for above in path.parents if above.exists() and not above.is_dir()), None)
    if blocking:
        raise UserError(f"{blocking} is a file, not a folder; name a folder")


def _refuse_unreadable(path: Path) -> None:
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"you may not read the folder {path}; have that allowed, or name another folder.")


def _refuse_unwritable(path: Path) -> None:
    place = next(place for place in (path, *path.absolute().parents) if place.is_dir())
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: you may not write in {place}; name another place.")
