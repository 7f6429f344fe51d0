"""The page's tables: what each cell shows, and what it says of itself when asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kdbench.cells import Expansion
from kdbench.grid import Pair, Table
from kdbench.paper import Published
from kdbench.report.results import CellResult
from kdbench.report.words import decimals
from kdbench.store.records import Record


@dataclass
class Column:
    """A column of a table: what its header says, and the pair it belongs to, if to one."""

    title: str
    above: str = ""
    pair: str = ""


@dataclass
class PageCell:
    """One entry. `index` is its place among `Sheets.details`; `numbers` sort it, None where it has no number."""

    result: CellResult
    index: int
    best_in_column: dict[str, bool] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float | None]:
        """By epoch choice, `last` and `best`."""
        return {"last": self.result.last.mean, "best": self.result.best.mean}

    @property
    def remark(self) -> str:
        """What is not as it should be, in a word or two."""
        seeds = f"{len(self.result.seeds)} of {len(self.result.cell.runs)} seeds"
        words = {"partial": seeds, "failed": f"failed, {seeds}", "diverged": f"diverged, {seeds}"}
        return {"missing": "no result", "n/a": "n/a"}.get(self.result.status, words.get(self.result.status, ""))


@dataclass
class PageRow:
    """A row: its name, its method (what the filter goes by), its switches in an ablation, its cells."""

    label: str
    method: str
    marks: list[bool]
    cells: list[PageCell]


@dataclass
class PageTable:
    """A table with its columns and rows. `elsewhere` is the paper's data set where that is another than ours."""

    table: Table
    elsewhere: str | None
    switches: list[str]
    columns: list[Column]
    rows: list[PageRow]
    warnings: list[str]


@dataclass
class Sheets:
    """All tables, and for each of their cells what the pop-up shows."""

    tables: list[PageTable]
    details: list[dict[str, Any]]


def sheets(expansion: Expansion, results: list[CellResult], records: Mapping[str, Record]) -> Sheets:
    """The tables of a grid in its order."""
    details: list[dict[str, Any]] = []
    tables = []
    for table in expansion.grid.tables:
        cells = {}
        for result in (r for r in results if r.cell.table.name == table.name):
            cells[result.cell.row.key, str(result.cell.pair)] = PageCell(result, len(details))
            details.append(_details(result, records))
        for pair in table.pairs:
            _mark_best([cell for (_, of), cell in cells.items() if of == str(pair)])
        found = [cell.result for cell in cells.values()]
        tables.append(
            PageTable(
                table=table,
                elsewhere=found[0].elsewhere,
                switches=list(dict.fromkeys(switch for row in table.rows for switch in row.marks)),
                columns=[_column(pair, found) for pair in table.pairs],
                rows=[_row(table, index, cells) for index in range(len(table.rows))],
                warnings=[w for pair in table.pairs if (w := _other_teachers(pair, found, records))],
            )
        )
    return Sheets(tables, details)


def _row(table: Table, index: int, cells: Mapping[tuple[str, str], PageCell]) -> PageRow:
    row = table.rows[index]
    entries = [cells[row.key, str(pair)] for pair in table.pairs]
    switches = list(dict.fromkeys(switch for one in table.rows for switch in one.marks))
    marks = [row.marks.get(switch, False) for switch in switches]
    return PageRow(entries[0].result.cell.label, row.method, marks, entries)


def _column(pair: Pair, results: list[CellResult]) -> Column:
    measured = next((r.teacher_top1 for r in results if r.cell.pair == pair and r.teacher_top1 is not None), None)
    accuracy = f" {measured:.2f}" if measured is not None else ""
    return Column(pair.student, f"{pair.teacher}{accuracy}", str(pair))


def _mark_best(cells: list[PageCell]) -> None:
    """The highest mean of a column, among cells with all their seeds, under either choice of epoch."""
    for choice in ("last", "best"):
        known = [number for c in cells if c.result.status == "complete" and (number := c.numbers[choice]) is not None]
        for cell in cells:
            cell.best_in_column[choice] = len(known) > 1 and cell.numbers[choice] == max(known)


def _other_teachers(pair: Pair, results: list[CellResult], records: Mapping[str, Record]) -> str | None:
    """A sentence if the runs of one pair were taught by different weights: their rows cannot be compared."""
    runs = [run for r in results if r.cell.pair == pair for run in r.cell.runs]
    known = {records[run.id].teacher_sha256 for run in runs if run.id in records} - {None}
    if len(known) < 2:
        return None
    return f"{pair}: its runs had {len(known)} different teachers (see their sha256 below); do not compare its rows."


def _details(result: CellResult, records: Mapping[str, Record]) -> dict[str, Any]:
    """What the pop-up of a cell shows. Its numbers are text: the page's script would round ties unlike the tables."""
    cell, published = result.cell, result.published
    beside = {"last": _beside(result.difference(False)), "best": _beside(result.difference(True))}
    return {
        "title": f"{cell.label}, {cell.pair.teacher} → {cell.pair.student}",
        "declined": cell.declined,
        "params": ", ".join(f"{name} {value}" for name, value in cell.row.params.items()),
        "seeds": [_seed(run.seed, run.id, records.get(run.id)) for run in cell.runs],
        "paper": _published(published) if published else None,
        "difference": beside if published else None,
    }


def _published(value: Published) -> str:
    return decimals(value.mean) + (f" ± {decimals(value.std)}" if value.std is not None else "")


def _beside(difference: float | None) -> str | None:
    """Ours beside the paper's; None where one of them is missing."""
    return None if difference is None else f"{decimals(abs(difference))} {'below' if difference < 0 else 'above'}"


def _seed(seed: int, run_id: str, record: Record | None) -> dict[str, Any]:
    if record is None:
        return {"seed": seed, "id": run_id, "status": "not run"}
    if record.status != "done":
        return {"seed": seed, "id": run_id, "status": record.status}
    shown = {"seed": seed, "id": run_id, "last": decimals(record.top1_last), "best": decimals(record.top1_best)}
    return shown | ({} if record.top5_last is None else {"top5": decimals(record.top5_last)})
