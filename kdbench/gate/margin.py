"""The margin: by how many points a cell may get worse before the gate minds."""

from __future__ import annotations

import math

from kdbench.inputs.errors import UserError

#: Unless told otherwise.
MARGIN = 0.3


def checked_margin(margin: float | None) -> float | None:
    """A margin that a user gives. Raises `UserError` for one below zero or without end."""
    if margin is not None and not 0 <= margin < math.inf:
        raise UserError(f"a margin is a finite number of points from 0, not {margin:g}; choose one from the noise.")
    return margin
