"""Baselines: measured accuracies frozen in a JSON file, seed by seed, with all it takes to measure them again."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kdbench.cells import Cell, Expansion
from kdbench.grid import Grid
from kdbench.inputs.errors import UserError
from kdbench.store.files import write_atomically
from kdbench.store.records import Record, Source

#: Table, teacher, student, row.
CellKey = tuple[str, str, str, str]
PerCent = Annotated[float, Field(ge=0, le=100)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SeedValue(_Model):
    """What one run gave: accuracies in per cent after the last and in the best epoch."""

    seed: int
    run: str
    top1_last: PerCent
    top1_best: PerCent
    weights_sha256: str | None


class BaselineCell(_Model):
    """One table entry. `row` is the table's `method` or `method/variant`; `taught` whether the method uses the teacher;
    `lr` the rate that training began with.
    """

    table: str
    teacher: str
    student: str
    row: str
    method: str
    taught: bool
    params: dict[str, Any]
    lr: float
    source: Source
    values: tuple[SeedValue, ...] = Field(min_length=1)

    @property
    def key(self) -> CellKey:
        """What tells a grid's cells apart."""
        return self.table, self.teacher, self.student, self.row

    @property
    def title(self) -> str:
        """How messages call the cell."""
        return f"{self.row} {self.teacher}→{self.student} ({self.table})"


class Baseline(_Model):
    """`grid` is the whole grid after all selections; `imported` maps a teacher's architecture to its weights' digest;
    `test_images` is the size of the test set; `environments` are the machines and versions that measured.
    """

    kind: Literal["kdbench baseline"] = "kdbench baseline"
    format: Literal[1] = 1
    grid: Grid
    imported: dict[str, str]
    margin: float = Field(ge=0)
    dataset: str
    data_sha256: str
    test_images: int = Field(ge=1)
    environments: tuple[dict[str, Any], ...]
    cells: tuple[BaselineCell, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Baseline:
        """A merge of two versions of the file may leave a cell or a seed in it twice: one would hide the other."""
        planned = {(t.name, p.teacher, p.student, row.key) for t in self.grid.tables for p in t.pairs for row in t.rows}
        seen = set()
        for cell in self.cells:
            if cell.key not in planned:
                raise ValueError(f"its grid has no cell '{cell.title}'")
            if cell.key in seen or len({value.seed for value in cell.values}) < len(cell.values):
                raise ValueError(f"the cell '{cell.title}' or one of its seeds is there twice")
            seen.add(cell.key)
        return self

    @property
    def resolution(self) -> float:
        """The weight of one test image, in points."""
        return 100 / self.test_images


def cell_key(cell: Cell) -> CellKey:
    """A grid's cell, named as `BaselineCell.key` names it."""
    return cell.table.name, cell.pair.teacher, cell.pair.student, cell.row.key


def freeze(expansion: Expansion, records: Mapping[str, Record], imported: Mapping[str, str], margin: float) -> Baseline:
    """A baseline of a grid's finished runs. Raises `UserError` unless every run of every cell is done.

    Cells that decline their pair have no runs and are left out; so are cells with the same runs as an earlier one (a
    method without a teacher beside several teachers), since no run shall be judged twice.
    """
    cells = distinct_cells(expansion.cells)
    _refuse_unfinished(cells, records)
    used = [records[run.id] for cell in cells for run in cell.runs]
    digests = {record.data_sha256 for record in used}
    if len(digests) > 1:
        raise UserError(f"the runs were made on {len(digests)} different versions of {expansion.info.name}; run again.")
    return Baseline(
        grid=expansion.grid,
        imported=dict(imported),
        margin=margin,
        dataset=expansion.info.name,
        data_sha256=digests.pop(),
        test_images=expansion.info.test_size,
        environments=_distinct(record.environment for record in used),
        cells=tuple(_frozen(cell, [records[run.id] for run in cell.runs]) for cell in cells),
    )


def distinct_cells(cells: Iterable[Cell]) -> list[Cell]:
    """Cells that have runs, without those whose runs an earlier one has."""
    by_runs: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        if cell.runs:
            by_runs.setdefault(tuple(run.id for run in cell.runs), cell)
    return list(by_runs.values())


def _refuse_unfinished(cells: list[Cell], records: Mapping[str, Record]) -> None:
    if not cells:
        raise UserError("the selection has no cell with runs, so there is nothing to freeze.")
    runs = [run for cell in cells for run in cell.runs]
    lacking = [run for run in runs if run.id not in records or records[run.id].status != "done"]
    if lacking:
        first = records.get(lacking[0].id)
        state = first.status if first else "not run"
        raise UserError(
            f"{len(lacking)} of {len(runs)} runs are not done, such as {lacking[0].title} ({state}); give `kdbench "
            "run` the same options first, or leave the method or pair out of the baseline."
        )


def _frozen(cell: Cell, records: list[Record]) -> BaselineCell:
    values = (
        SeedValue(
            seed=record.run.seed,
            run=record.id,
            top1_last=record.top1_last,
            top1_best=record.top1_best,
            weights_sha256=record.weights_sha256,
        )
        for record in records
    )
    table, teacher, student, row = cell_key(cell)
    run = cell.runs[0]
    return BaselineCell(
        table=table,
        teacher=teacher,
        student=student,
        row=row,
        method=run.method,
        taught=run.teacher is not None,
        params=run.params,
        lr=run.recipe.lr,
        source=records[0].source,
        values=tuple(values),
    )


def _distinct(environments: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for environment in environments:
        if environment not in found:
            found.append(environment)
    return tuple(found)


def write_baseline(baseline: Baseline, path: Path, *, overwrite: bool) -> None:
    """Write the file; `UserError` if it exists and may not be overwritten."""
    if path.exists() and not overwrite:
        raise UserError(f"{path} already exists and is not overwritten; choose another name or give --force.")
    write_atomically(path, (baseline.model_dump_json(indent=1) + "\n").encode())


def read_baseline(path: Path) -> Baseline:
    """A baseline from its file; `UserError` says what is wrong with a missing or damaged one."""
    try:
        # Editors of Windows put a byte order mark before what they save.
        return Baseline.model_validate_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise UserError(
            f"baseline {path} cannot be read ({error.strerror}); `kdbench baseline save` writes one."
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "file"
        why = problem["msg"].removeprefix("Value error, ")
        raise UserError(
            f"baseline {path} is damaged or of another version ({where}: {why}); "
            "`kdbench baseline save` writes a sound one."
        ) from None
