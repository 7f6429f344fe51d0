"""The check: every cell of a baseline against the records that are there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdbench.cells import Cell
from kdbench.gate.baseline import Baseline, BaselineCell, CellKey
from kdbench.gate.difference import Sides, refuse_other_data
from kdbench.gate.rerun import Bench, changed_runs
from kdbench.gate.sides import changed, surroundings
from kdbench.gate.verdict import Outcome, Verdict, judge
from kdbench.report.results import Summary
from kdbench.store.records import Record
from kdbench.store.store import Store

REGRESSED = 1
CANNOT_TELL = 3


@dataclass(frozen=True)
class CheckedCell:
    """A baseline's cell, what was found for it, and the verdict. `note` is what else has changed."""

    cell: BaselineCell
    new: Summary
    verdict: Verdict
    note: str = ""

    @property
    def old(self) -> Summary:
        """The baseline's accuracies."""
        return Summary(tuple(value.top1_last for value in self.cell.values))

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "table": self.cell.table,
            "teacher": self.cell.teacher,
            "student": self.cell.student,
            "row": self.cell.row,
            "old": self.old.as_json(),
            "new": self.new.as_json(),
            **self.verdict.as_json(),
            "note": self.note or None,
        }


@dataclass(frozen=True)
class Report:
    """All cells of a baseline, judged at one margin (points) and level. `surroundings` says which versions and devices
    are not the baseline's.
    """

    baseline: Baseline
    cells: tuple[CheckedCell, ...]
    margin: float
    alpha: float
    surroundings: str

    def count(self, outcome: Outcome) -> int:
        """Number of cells with that outcome."""
        return sum(cell.verdict.outcome == outcome for cell in self.cells)

    def exit_code(self, *, allow_undecided: bool) -> int:
        """0: every cell passes; 1: one has regressed; 3: none has, but of one it cannot be told."""
        if self.count("regressed"):
            return REGRESSED
        return CANNOT_TELL if self.count("cannot tell") and not allow_undecided else 0

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "grid": self.baseline.grid.name,
            "margin": self.margin,
            "alpha": self.alpha,
            "passed": self.count("pass"),
            "regressed": self.count("regressed"),
            "cannot_tell": self.count("cannot tell"),
            "surroundings": self.surroundings or None,
            "cells": [cell.as_json() for cell in self.cells],
        }


def check(bench: Bench, *, margin: float | None = None, alpha: float = 0.05) -> Report:
    """Judge the records in the bench's results folder; trains nothing.

    `margin` in points; the baseline's own if None. A cell has regressed, too, if one of its runs is missing, has failed
    or has diverged. Raises `UserError` if the runs were made on other data than the baseline's.
    """
    baseline = bench.baseline
    margin = baseline.margin if margin is None else margin
    found = {cell.key: _found(bench.cells[cell.key], bench.store) for cell in baseline.cells}
    for records, _ in found.values():
        for record in records:
            refuse_other_data(f"run {record.id}", record.data_sha256, "the baseline", baseline.data_sha256)
    whole = [cell for cell in baseline.cells if found[cell.key][1] is None]
    sides = [_sides(cell, found[cell.key][0]) for cell in whole]
    judged = judge(sides, margin=margin, alpha=alpha, resolution=baseline.resolution)
    verdicts = {cell.key: verdict for cell, verdict in zip(whole, judged, strict=True)}
    notes = changed_runs(bench)
    cells = tuple(_checked(cell, found, verdicts, notes) for cell in baseline.cells)
    now = surroundings(record.environment for records, _ in found.values() for record in records)
    return Report(baseline, cells, margin, alpha, changed(surroundings(baseline.environments), now))


def _found(cell: Cell, store: Store) -> tuple[list[Record], str | None]:
    """The finished records of a cell, and the sentence that says what is lacking, if anything is."""
    if cell.declined:
        return [], f"the method declines this pair now: {cell.declined}"
    done, lacking = [], []
    for run in cell.runs:
        record = store.record(run.id)
        if record and record.status == "done":
            done.append(record)
        elif record:
            why = f": {record.failure.reason}" if record.failure else ""
            lacking.append(f"seed {run.seed} {record.status}{why}")
        else:
            lacking.append(f"seed {run.seed} was not run")
    return done, "; ".join(lacking) or None


def _sides(cell: BaselineCell, records: list[Record]) -> Sides:
    old = {value.seed: value for value in cell.values}
    same = [
        (was := old.get(record.run.seed)) is not None
        and was.weights_sha256 is not None
        and (was.weights_sha256, was.top1_last) == (record.weights_sha256, record.top1_last)
        for record in records
    ]
    return Sides(
        {seed: value.top1_last for seed, value in old.items()},
        {record.run.seed: record.top1_last for record in records},
        same_bits=all(same),
    )


def _checked(
    cell: BaselineCell,
    found: Mapping[CellKey, tuple[list[Record], str | None]],
    verdicts: Mapping[CellKey, Verdict],
    notes: Mapping[CellKey, str],
) -> CheckedCell:
    records, lacking = found[cell.key]
    verdict = Verdict("regressed", lacking) if lacking else verdicts[cell.key]
    new = Summary(tuple(record.top1_last for record in records))
    return CheckedCell(cell, new, verdict, notes.get(cell.key, ""))
