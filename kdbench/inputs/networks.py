"""How networks and pairs of them are written: `NAME`, `SCHEME:NAME`, `SCHEME:NAME+KEY=VALUE+…`, `TEACHER:STUDENT`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kdbench.inputs.documents import read_value
from kdbench.inputs.errors import UserError

Setting = bool | int | float | str
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEXT = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class NetworkOfScheme:
    """What `SCHEME:NAME+KEY=VALUE+…` says."""

    scheme: str
    name: str
    settings: dict[str, Setting] = field(default_factory=dict)

    def __str__(self) -> str:
        settings = "".join(f"+{key}={_written(value)}" for key, value in sorted(self.settings.items()))
        return f"{self.scheme}:{self.name}{settings}"


def network_of_scheme(text: str) -> NetworkOfScheme | None:
    """What a network's name says that has a scheme; None where it has none. Raises `UserError` for settings that are
    no `KEY=VALUE`.
    """
    scheme, colon, rest = text.partition(":")
    if not colon:
        return None
    name, *parts = rest.split("+")
    settings: dict[str, Setting] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not (equals and _KEY.fullmatch(key) and value):
            raise UserError(f"a network's setting is written +KEY=VALUE, not '+{part}' as in '{text}'.")
        if key in settings:
            raise UserError(f"'{text}' names {key} twice; leave one of them.")
        settings[key] = setting(key, read_value(value, f"{text}: {key}"))
    return NetworkOfScheme(scheme, name, settings)


def setting(key: str, value: object) -> Setting:
    """A value that a network's name can hold. Raises `UserError` for any other."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and _TEXT.fullmatch(value)):
        return value
    raise UserError(f"a network's setting {key} is a number, true, false or a word, not '{value}'.")


def _written(value: Setting) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def splits(text: str) -> Iterator[tuple[str, str]]:
    """Every way to read `TEACHER:STUDENT`, of which each may have a scheme before its name."""
    parts = [part.strip() for part in text.split(":")]
    if all(parts):
        for place in range(1, len(parts)):
            if place <= 2 and len(parts) - place <= 2:
                yield ":".join(parts[:place]), ":".join(parts[place:])
