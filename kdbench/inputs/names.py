"""Names that become files: the one place that says which may."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: Windows gives these to devices, with any suffix and in any case.
_RESERVED = frozenset({"con", "prn", "aux", "nul"} | {port + n for port in ("com", "lpt") for n in "123456789¹²³"})


def unfit_name(name: object) -> str | None:
    """Why `name` cannot be that of a method, network, data set, grid or table; None if it can."""
    if not isinstance(name, str):
        return f"it is no text but {type(name).__name__}"
    if not _NAME.fullmatch(name) or name.endswith("."):
        return "it may have up to 64 letters, digits and `_`, `.`, `-`, the first a letter or digit, the last no dot"
    return reserved(name)


def reserved(name: str) -> str | None:
    """Why a file cannot have a name on Windows; None if it can."""
    return f"Windows keeps '{name}' for a device" if name.split(".")[0].lower() in _RESERVED else None
