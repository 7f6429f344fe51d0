"""Names that become files: the one place that says which may."""

from __future__ import annotations

import re
from pathlib import Path

from kdbench.inputs.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: Windows gives these to devices, with any suffix and in any case.
_RESERVED = frozenset({"con", "prn", "aux", "nul"} | {port + n for port in ("com", "lpt") for n in "123456789¹²³"})


def unfit_name(name: object) -> str | None:
    """Why `name` cannot be that of a method, network, data set, grid or table; None if it can."""
    if not isinstance(name, str):
        return f"it is no text but {type(name).__name__}"
    if not _NAME.fullmatch(name) or name.endswith("."):
        return "it may have up to 64 letters, digits and `_`, `.`, `-`, the first a letter or digit, the last no dot"
    return _reserved(name)


def checked_path(path: Path | None) -> Path | None:
    """A path that a user gives for writing. Raises `UserError` if a part of it is no name on every system."""
    for part in path.parts if path else ():
        if not part.isprintable():
            raise UserError(f"the path {part!r} holds characters that cannot be shown; take another name.")
        if len(part.encode(errors="surrogateescape")) > 255:
            raise UserError(f"the path {part[:20]}… has a name of more than 255 bytes; take a shorter one.")
        if why := _reserved(part):
            raise UserError(f"the path {path} cannot be written everywhere: {why}; take another name.")
    return path


def _reserved(name: str) -> str | None:
    return f"Windows keeps '{name}' for a device" if name.split(".")[0].lower() in _RESERVED else None
