"""Candidates for the parameters of a method: rows that stand behind a grid's row to be compared with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from kdbench.grid import Row
from kdbench.inputs.validation import validated

Candidates = Mapping[str, list[Any]]


def with_candidates(row: Row, candidates: Candidates) -> tuple[Row, ...]:
    """The row and, behind it, one for each combination of values of the parameters in `candidates`.

    A row that sets one of them itself stays alone, and so does one of a method without candidates. Raises `UserError`
    for values that make no row's name.
    """
    if not candidates or candidates.keys() & row.params.keys():
        return (row,)
    combinations = itertools.product(*candidates.values())
    return row, *(_candidate(row, dict(zip(candidates, values, strict=True))) for values in combinations)


def _candidate(row: Row, params: dict[str, Any]) -> Row:
    words = [f"{name}-{re.sub('[^A-Za-z0-9_.-]+', '_', str(value))}" for name, value in params.items()]
    told = ", ".join(f"{name} {value}" for name, value in params.items())
    changes = {
        "variant": "_".join([*([row.variant] if row.variant else []), *words]),
        "params": row.params | params,
        "label": f"{row.label or row.key} ({told})",
        "published": False,
    }
    return validated(Row, row.model_dump() | changes, f"candidate {row.method} ({told})")
