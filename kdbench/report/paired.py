"""Methods against a reference method, seed by seed: the runs differ in the method alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kdbench.cells import Cell
from kdbench.inputs.errors import unknown
from kdbench.report.power import seeds_needed
from kdbench.report.results import CellResult, CellStatus, Summary
from kdbench.report.statistics import Estimate, Interval, holm, paired

LEVEL = 0.95


@dataclass(frozen=True)
class PairedComparison:
    """A cell minus the reference on the same pair, in points, one difference for each seed that both have.

    `status`: the cell's, or the reference's where that tells more. `separated`: zero lies outside the interval at
    `level`, which Holm's procedure gives for all comparisons of a table with this reference. `needed`: seeds with which
    a true difference of the observed size would be separated at that level with probability 0.8; None for more than
    `MOST_SEEDS`, or where it is separated or shows no spread.
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


@dataclass(frozen=True)
class Uncompared:
    """A cell without a seed in common with the reference, of which runs failed or diverged on either side."""

    cell: Cell
    reference: str
    status: CellStatus

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**self.cell.as_json(), "reference": self.reference, "status": self.status}


def compare_to(results: Sequence[CellResult], reference: str, *, alpha: float = 0.05) -> list[PairedComparison]:
    """Last epochs' accuracies against those of row `reference` (`method` or `method/variant`), in the grid's order.

    The reference may stand in another table of the grid, if the cell's has none. A cell without a seed in common with
    it is left out. Raises `UserError` if no table has such a row.
    """
    found = []
    for family in _families(results, reference):
        found += _corrected([one for pair in family if (one := _compared(*pair))], alpha)
    return found


def uncompared(results: Sequence[CellResult], reference: str) -> list[Uncompared]:
    """Cells that `compare_to` leaves out because of runs that failed or diverged, in the grid's order."""
    pairs = [pair for family in _families(results, reference) for pair in family if not _compared(*pair)]
    return [
        Uncompared(result.cell, reference, status)
        for result, other in pairs
        if (status := _status(result, other)) in ("failed", "diverged")
    ]


def _families(results: Sequence[CellResult], reference: str) -> Iterator[list[tuple[CellResult, CellResult]]]:
    """Table by table, each cell with the reference's cell of its pair: of its own table, or else of the first one."""
    of_reference = [result for result in results if result.cell.row.key == reference]
    if not of_reference:
        raise unknown("row of this grid", reference, {result.cell.row.key for result in results})
    for table in dict.fromkeys(result.cell.table.name for result in results):
        by_pair: dict[str, CellResult] = {}
        for other in sorted(of_reference, key=lambda other: other.cell.table.name != table):
            by_pair.setdefault(str(other.cell.pair), other)
        own = [r for r in results if r.cell.table.name == table and r.cell.row.key != reference]
        yield [(result, by_pair[pair]) for result in own if (pair := str(result.cell.pair)) in by_pair]


def _status(result: CellResult, other: CellResult) -> CellStatus:
    """What stands out of the two sides: one that is not complete, above all one that failed or diverged."""
    open_ended = [status for status in (result.status, other.status) if status != "complete"]
    lost = [status for status in open_ended if status in ("failed", "diverged")]
    return (lost or open_ended or [result.status])[0]


def _compared(result: CellResult, other: CellResult) -> PairedComparison | None:
    mine = dict(zip(result.seeds, result.last.values, strict=True))
    theirs = dict(zip(other.seeds, other.last.values, strict=True))
    seeds = tuple(seed for seed in mine if seed in theirs)
    if not seeds:
        return None
    differences = tuple(mine[seed] - theirs[seed] for seed in seeds)
    status = _status(result, other)
    return PairedComparison(result.cell, other.cell.row.key, status, seeds, differences, paired(differences))


def _corrected(family: list[PairedComparison], alpha: float) -> list[PairedComparison]:
    outcome = holm([one.estimate.p_value for one in family], alpha)
    return [
        replace(one, separated=rejected, level=1 - step, needed=None if rejected else _needed(one, step))
        for one, (rejected, step) in zip(family, outcome, strict=True)
    ]


def _needed(one: PairedComparison, step: float) -> int | None:
    std = Summary(one.differences).std
    if std is None or one.estimate.error is None:
        return None
    return seeds_needed(abs(one.estimate.mean) / std, step, two_sided=True)
