"""A method over all pairs of a table: one number for its gain, with what pairs and seeds leave open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdbench.report.paired import LEVEL, PairedComparison, Uncompared
from kdbench.report.statistics import ROUNDING, Interval, resampled_means

DRAWS = 10_000

#: Table, row and reference.
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class MixedSummary:
    """Mean gain over the reference, in points: the mean over pairs of the mean over seeds.

    `interval` is the percentile interval of a hierarchical bootstrap at 95 %, None for a single pair. A win is a pair
    on which the method is separated above the reference, a loss one below; a tie is anything else. `without` counts
    the pairs that are not among `pairs`, since runs failed or diverged and no seed is left to compare.
    """

    table: str
    row: str
    reference: str
    pairs: int
    without: int
    above: int
    gain: float
    interval: Interval | None
    wins: int
    ties: int
    losses: int

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return vars(self) | {"interval": self.interval.as_json() if self.interval else None}


def mixed(
    comparisons: Sequence[PairedComparison], uncompared: Sequence[Uncompared] = (), *, seed: int = 0
) -> list[MixedSummary]:
    """One summary for each row of each table that has a comparison. Equal comparisons and `seed` give equal intervals.

    Pairs with the very same runs on both sides (a method without a teacher, the student of several pairs) count once.
    """
    rows: dict[_Key, list[PairedComparison]] = {}
    for one in comparisons:
        rows.setdefault(_key(one), []).append(one)
    without = Counter(map(_key, uncompared))
    return [_summary(key, _distinct(group), without[key], seed) for key, group in rows.items()]


def _key(one: PairedComparison | Uncompared) -> _Key:
    return one.cell.table.name, one.cell.row.key, one.reference


def _distinct(group: list[PairedComparison]) -> list[PairedComparison]:
    found: dict[object, PairedComparison] = {}
    for one in group:
        found.setdefault((tuple(run.id for run in one.cell.runs), one.differences), one)
    return list(found.values())


def _summary(key: _Key, group: list[PairedComparison], without: int, seed: int) -> MixedSummary:
    gains = [one.estimate.mean for one in group]
    wins = sum(one.separated and one.estimate.mean > 0 for one in group)
    losses = sum(one.separated and one.estimate.mean < 0 for one in group)
    return MixedSummary(
        *key,
        pairs=len(group),
        without=without,
        above=sum(gain > ROUNDING for gain in gains),
        gain=float(np.mean(gains)),
        interval=_interval([one.differences for one in group], seed) if len(group) > 1 else None,
        wins=wins,
        ties=len(group) - wins - losses,
        losses=losses,
    )


def _interval(differences: Sequence[Sequence[float]], seed: int) -> Interval:
    means = resampled_means(differences, DRAWS, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
