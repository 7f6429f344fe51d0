"""From cells and records to what a table entry says."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kdbench.cells import Cell, Expansion
from kdbench.paper import Published, load_paper_table
from kdbench.registry import Registry
from kdbench.store.records import Record

CellStatus = Literal["complete", "partial", "failed", "diverged", "missing", "n/a"]


@dataclass(frozen=True)
class Summary:
    """Values in per cent, one a seed; `std` is the sample standard deviation (ddof 1), None below two values."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Their mean, None of none."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Their sample standard deviation."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def as_json(self) -> dict[str, Any]:
        """`mean`, `std` and `values`."""
        return {"mean": self.mean, "std": self.std, "values": list(self.values)}


@dataclass(frozen=True)
class CellResult:
    """A cell with what its runs gave. `teacher_top1` is measured on the same test set, and `top5` after the last epoch.

    `elsewhere` is the data set of the paper's table where that is another than ours.
    """

    cell: Cell
    seeds: tuple[int, ...]
    last: Summary
    best: Summary
    status: CellStatus
    published: Published | None
    teacher_top1: float | None
    elsewhere: str | None
    top5: Summary = Summary(())

    def value(self, best: bool) -> Summary:
        """The best or the last epoch's accuracies."""
        return self.best if best else self.last

    def difference(self, best: bool) -> float | None:
        """Ours minus the paper's, in points."""
        mean = self.value(best).mean
        return mean - self.published.mean if mean is not None and self.published else None


def cell_results(expansion: Expansion, records: Mapping[str, Record], registry: Registry) -> list[CellResult]:
    """One result for each cell of a grid, in its order."""
    papers = {table.name: load_paper_table(table.paper, registry) for table in expansion.grid.tables if table.paper}
    results = []
    for cell in expansion.cells:
        found = [records[run.id] for run in cell.runs if run.id in records]
        done = [record for record in found if record.status == "done"]
        paper = papers.get(cell.table.name)
        trained_by = cell.teacher.trained_by
        teacher = records.get(trained_by.id) if trained_by else None
        results.append(
            CellResult(
                cell=cell,
                seeds=tuple(record.run.seed for record in done),
                last=Summary(tuple(record.top1_last for record in done)),
                best=Summary(tuple(record.top1_best for record in done)),
                top5=Summary(tuple(top5 for record in done if (top5 := record.top5_last) is not None)),
                status=_status(cell, found, done),
                published=paper.published(expansion.info.name, cell.pair, cell.row) if paper else None,
                teacher_top1=_teacher_top1(teacher, done),
                elsewhere=paper.dataset if paper and paper.dataset != expansion.info.name else None,
            )
        )
    return results


def _teacher_top1(teacher: Record | None, done: list[Record]) -> float | None:
    if teacher and teacher.status == "done":
        return teacher.top1_last
    return done[0].teacher_top1 if done else None


def _status(cell: Cell, found: list[Record], done: list[Record]) -> CellStatus:
    if cell.declined:
        return "n/a"
    for status in ("failed", "diverged"):
        if any(record.status == status for record in found):
            return "failed" if status == "failed" else "diverged"
    if len(done) == len(cell.runs):
        return "complete"
    return "partial" if done else "missing"
