"""Methods against a reference method, seed by seed: the runs differ in the method alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kdbench.cells import Cell
from kdbench.errors import unknown
from kdbench.report.power import seeds_needed
from kdbench.report.results import CellResult, CellStatus, Summary
from kdbench.report.statistics import Estimate, Interval, holm, paired

LEVEL = 0.95


@dataclass(frozen=True)
class PairedComparison:
    """A cell minus the reference on the same pair, in points, one difference for each seed that both have.

    `separated`: zero lies outside the interval at `level`, which Holm's procedure gives for all comparisons of a table
    with this reference. `needed`: seeds with which a true difference of the observed size would be separated at that
    level with probability 0.8; None for more than `MOST_SEEDS`, or where it is separated or shows no spread.
    """

    cell: Cell
    reference: str
    status: CellStatus
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    estimate: Estimate
    separated: bool = False
    level: float = LEVEL
    needed: int | None = None

    @property
    def interval(self) -> Interval | None:
        """The t interval at 95 %, of this comparison alone."""
        return self.estimate.interval(LEVEL)

    @property
    def asks_for_seeds(self) -> bool:
        """Whether more seeds might separate it: it is not separated, and its spread is known."""
        return not self.separated and self.estimate.error is not None

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        corrected = self.estimate.interval(self.level)
        return {
            **self.cell.as_json(),
            "reference": self.reference,
            "status": self.status,
            "seeds": list(self.seeds),
            "differences": list(self.differences),
            "mean": self.estimate.mean,
            "interval": self.interval.as_json() if self.interval else None,
            "p": self.estimate.p_value,
            "corrected_level": self.level,
            "corrected_interval": corrected.as_json() if corrected else None,
            "separated": self.separated,
            "seeds_needed": self.needed,
        }


def compare_to(results: Sequence[CellResult], reference: str, *, alpha: float = 0.05) -> list[PairedComparison]:
    """Last epochs' accuracies against those of row `reference` (`method` or `method/variant`), in the grid's order.

    The reference may stand in another table of the grid. A cell without a seed in common with it is left out. Raises
    `UserError` if no table has such a row.
    """
    rows = {result.cell.row.key for result in results}
    if reference not in rows:
        raise unknown("row of this grid", reference, rows)
    by_pair: dict[str, CellResult] = {}
    for result in results:
        if result.cell.row.key == reference:
            by_pair.setdefault(str(result.cell.pair), result)
    found = []
    for table in dict.fromkeys(result.cell.table.name for result in results):
        family = [
            _compared(result, other)
            for result in results
            if result.cell.table.name == table
            and result.cell.row.key != reference
            and (other := by_pair.get(str(result.cell.pair)))
        ]
        found += _corrected([one for one in family if one], alpha)
    return found


def _compared(result: CellResult, other: CellResult) -> PairedComparison | None:
    mine = dict(zip(result.seeds, result.last.values, strict=True))
    theirs = dict(zip(other.seeds, other.last.values, strict=True))
    seeds = tuple(seed for seed in mine if seed in theirs)
    if not seeds:
        return None
    differences = tuple(mine[seed] - theirs[seed] for seed in seeds)
    return PairedComparison(result.cell, other.cell.row.key, result.status, seeds, differences, paired(differences))


def _corrected(family: list[PairedComparison], alpha: float) -> list[PairedComparison]:
    outcome = holm([one.estimate.p_value for one in family], alpha)
    return [
        replace(one, separated=rejected, level=1 - step, needed=None if rejected else _needed(one, step))
        for one, (rejected, step) in zip(family, outcome, strict=True)
    ]


def _needed(one: PairedComparison, step: float) -> int | None:
    std = Summary(one.differences).std
    return seeds_needed(abs(one.estimate.mean) / std, step, two_sided=True) if std else None
