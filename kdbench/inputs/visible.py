"""Text of files and plugins made harmless for a terminal."""

from __future__ import annotations

import unicodedata

#: Control and format characters, surrogates, and line separators: what moves a cursor, hides or reorders text.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    r"""`text` with every character that a terminal obeys and does not show written as JSON would, such as \u001b.

    Line ends and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(escaped(c) if c not in "\n\t" and unicodedata.category(c) in _HIDDEN else c for c in text)


def escaped(character: str) -> str:
    """A character as JSON writes it where it holds no more than ASCII."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
