"""What each cell's runs cost, from their records."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdbench.cells import Cell
from kdbench.report.results import CellResult
from kdbench.store.records import Cost, Record


@dataclass(frozen=True)
class CellCost:
    """Means over a cell's finished runs.

    `seconds` is training alone, without tests, teacher and pre-stage; in a cohort it is the run's share.
    `extra_parameters` are those trained minus those deployed, negative where a method deploys frozen parts. `flops` are
    of one deployed forward pass; memory is the most that any of the runs saw. `cohorts` and `devices` are all that
    occurred: times of unlike ones do not compare.
    """

    cell: Cell
    runs: int
    seconds: float
    images_per_second: float
    peak_memory_bytes: int
    deployed_parameters: int
    extra_parameters: int
    flops: int
    cohorts: tuple[int, ...]
    devices: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return self.cell.as_json() | {key: value for key, value in vars(self).items() if key != "cell"}


def costs(results: Sequence[CellResult], records: Mapping[str, Record]) -> list[CellCost]:
    """The cost of every cell that has a finished run."""
    found = []
    for result in results:
        done = [records[run.id] for run in result.cell.runs if run.id in records]
        spent = [(record, record.cost) for record in done if record.cost]
        if spent:
            found.append(_mean(result.cell, [r for r, _ in spent], [cost for _, cost in spent]))
    return found


def _mean(cell: Cell, records: list[Record], spent: list[Cost]) -> CellCost:
    return CellCost(
        cell=cell,
        runs=len(spent),
        seconds=statistics.fmean(cost.train_seconds for cost in spent),
        images_per_second=statistics.fmean(cost.images_per_second for cost in spent),
        peak_memory_bytes=max(cost.peak_memory_bytes for cost in spent),
        deployed_parameters=spent[0].deployed_parameters,
        extra_parameters=spent[0].training_parameters - spent[0].deployed_parameters,
        flops=spent[0].deployed_flops,
        cohorts=tuple(sorted({cost.cohort_size for cost in spent})),
        devices=tuple(sorted({str(record.environment.get("device")) for record in records})),
    )
