"""Seeds as people write them: `0,1,2`, `0-4`, `[0-2, 7]`."""

from __future__ import annotations

import re
from collections import Counter

from kdbench.inputs.documents import written

#: A small text can ask for billions.
MAX_SEEDS = 100_000
_ENTRY = re.compile(r"([0-9]{1,18})(?:\s*-\s*([0-9]{1,18}))?")
_FORM = "write whole numbers from 0 and ranges such as 0-4, in a list"


def parse_seeds(given: object) -> tuple[int, ...]:
    """The seeds of a list, or of a text with commas, of numbers and of ranges, whose ends both count.

    Raises `ValueError`, with what is wrong in words, for anything else and for a seed named twice.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        count = f", 0-{given - 1} for so many" if given > 1 else ""
        raise ValueError(f"one number may be a seed or how many there are: write [{given}] for the seed{count}")
    entries = given.split(",") if isinstance(given, str) else given
    if not isinstance(entries, list | tuple) or not entries:
        raise ValueError(f"{_FORM}, not {written(given)}")
    seeds: list[int] = []
    for entry in entries:
        first, last = _range(entry)
        if last - first + len(seeds) >= MAX_SEEDS:
            raise ValueError(f"'{entry}' makes more than {MAX_SEEDS:,} seeds")
        seeds += range(first, last + 1)
    if twice := [seed for seed, times in Counter(seeds).items() if times > 1]:
        raise ValueError(f"seed {twice[0]} is named twice")
    return tuple(seeds)


def _range(entry: object) -> tuple[int, int]:
    """First and last seed of an entry."""
    # True is a number to Python.
    found = None if isinstance(entry, bool) else _ENTRY.fullmatch(f"{entry}".strip())
    if not found:
        raise ValueError(f"{_FORM}, not {written(entry):.40}")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise ValueError(f"a range goes up, as {last}-{first}, not '{entry}'")
    return first, last
