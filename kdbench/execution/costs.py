"""What grids take on this machine, as it was last estimated: `kdbench run` lists them without estimating anew.

Kept in `costs.json` (`kdbench/store/kept.py`).
"""

from __future__ import annotations

import hashlib

from kdbench.grid import Grid
from kdbench.inputs.wording import duration
from kdbench.store import kept

NAME = "costs.json"
#: How many grids, and selections of them, are remembered: the latest.
MOST = 200


def remember(grid: Grid, seconds: float, device: str) -> None:
    """Keep the time that all runs of a grid take on a device, teachers and pre-stages included."""
    kept.add(NAME, {_digest(grid): {"seconds": seconds, "device": device}}, most=MOST)


def known(grid: Grid) -> str | None:
    """That time in words; None where it was not estimated."""
    match kept.entries(NAME).get(_digest(grid)):
        case {"seconds": float(seconds), "device": str(device)}:
            return f"{duration(round(seconds))} on {device}"
    return None


def _digest(grid: Grid) -> str:
    return hashlib.sha256(grid.model_dump_json().encode()).hexdigest()
