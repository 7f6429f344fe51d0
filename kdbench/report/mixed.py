"""A method over all pairs of a table: one number for its gain, with what pairs and seeds leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdbench.report.paired import LEVEL, PairedComparison
from kdbench.report.statistics import Interval, resampled_means

DRAWS = 10_000


@dataclass(frozen=True)
class MixedSummary:
    """Mean gain over the reference, in points: the mean over pairs of the mean over seeds.

    `interval` is the percentile interval of a hierarchical bootstrap at 95 %, None for a single pair. A win is a pair
    on which the method is separated above the reference, a loss one below; a tie is anything else.
    """

    table: str
    row: str
    reference: str
    pairs: int
    above: int
    gain: float
    interval: Interval | None
    wins: int
    ties: int
    losses: int

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return vars(self) | {"interval": self.interval.as_json() if self.interval else None}


def mixed(comparisons: Sequence[PairedComparison], *, seed: int = 0) -> list[MixedSummary]:
    """One summary for each row of each table. Equal comparisons and `seed` give equal intervals.

    Pairs with the very same runs on both sides (a method without a teacher, the student of several pairs) count once.
    """
    rows: dict[tuple[str, str, str], list[PairedComparison]] = {}
    for one in comparisons:
        rows.setdefault((one.cell.table.name, one.cell.row.key, one.reference), []).append(one)
    return [_summary(key, _distinct(group), seed) for key, group in rows.items()]


def _distinct(group: list[PairedComparison]) -> list[PairedComparison]:
    found: dict[object, PairedComparison] = {}
    for one in group:
        found.setdefault((tuple(run.id for run in one.cell.runs), one.differences), one)
    return list(found.values())


def _summary(key: tuple[str, str, str], group: list[PairedComparison], seed: int) -> MixedSummary:
    gains = [one.estimate.mean for one in group]
    wins = sum(one.separated and one.estimate.mean > 0 for one in group)
    losses = sum(one.separated and one.estimate.mean < 0 for one in group)
    return MixedSummary(
        *key,
        pairs=len(group),
        above=sum(gain > 0 for gain in gains),
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
