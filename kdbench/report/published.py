"""Ours against the paper's: can the two means be told apart, given both spreads and both numbers of runs?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kdbench.cells import Cell
from kdbench.paper import PaperTable, Published, load_paper_table
from kdbench.registry import Registry
from kdbench.report.paired import LEVEL
from kdbench.report.results import CellResult, CellStatus, Summary
from kdbench.report.statistics import Estimate, Interval, holm, welch

Answer = Literal["apart", "not told apart", "no std"]


@dataclass(frozen=True)
class PaperComparison:
    """Ours minus the paper's, in points, by Welch's t test from both means, sample stds and numbers of runs.

    `answer`: *apart* if zero lies outside after Holm's correction over the table; *no std* if either side lacks one,
    or the paper its number of runs.
    The paper's choice of epoch is its own (`epoch`); ours is the last.
    """

    cell: Cell
    status: CellStatus
    ours: Summary
    published: Published
    runs: int | None
    epoch: str
    estimate: Estimate
    answer: Answer

    @property
    def interval(self) -> Interval | None:
        """The t interval of the difference at 95 %, of this comparison alone."""
        return self.estimate.interval(LEVEL)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            **self.cell.as_json(),
            "status": self.status,
            "ours": self.ours.as_json(),
            "paper": {"mean": self.published.mean, "std": self.published.std, "n": self.runs, "epoch": self.epoch},
            "difference": self.estimate.mean,
            "interval": self.interval.as_json() if self.interval else None,
            "p": self.estimate.p_value,
            "answer": self.answer,
        }


def against_paper(results: Sequence[CellResult], registry: Registry, *, alpha: float = 0.05) -> list[PaperComparison]:
    """Every cell that has both our measurement and the paper's, corrected table by table."""
    found = []
    for table in dict.fromkeys(result.cell.table.name for result in results):
        cells = [r for r in results if r.cell.table.name == table and r.published and r.last.values]
        if not cells:
            continue
        paper = load_paper_table(str(cells[0].cell.table.paper), registry)
        estimates = [_estimate(result, paper) for result in cells]
        rejected = holm([estimate.p_value for estimate in estimates], alpha)
        for result, estimate, (apart, _) in zip(cells, estimates, rejected, strict=True):
            found.append(_comparison(result, estimate, paper, apart=apart))
    return found


def _estimate(result: CellResult, paper: PaperTable) -> Estimate:
    ours, theirs = result.last, result.published
    assert ours.mean is not None and theirs is not None
    # Where no number of runs is printed, a deviation tells nothing.
    runs = paper.runs or 1
    return welch(ours.mean, ours.std, len(ours.values), theirs.mean, theirs.std if runs > 1 else None, runs)


def _comparison(result: CellResult, estimate: Estimate, paper: PaperTable, *, apart: bool) -> PaperComparison:
    assert result.published is not None
    answer: Answer = "no std" if estimate.error is None else "apart" if apart else "not told apart"
    return PaperComparison(
        result.cell, result.status, result.last, result.published, paper.runs, paper.epoch, estimate, answer
    )
