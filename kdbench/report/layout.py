"""The paper's layout: a table as rows of text, before any output format."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from kdbench.grid import Pair, Table
from kdbench.report.results import CellResult, CellStatus
from kdbench.report.words import not_comparable

#: Characters of a row's label before it is broken: a method's caveat can be long.
LABEL_WIDTH = 36

MARKS: dict[CellStatus, tuple[str, str]] = {
    "partial": ("*", "fewer seeds than the grid asks for"),
    "failed": ("†", "a seed failed"),
    "diverged": ("‡", "a seed diverged"),
    "missing": ("–", "no result: not run, or stale and left out"),
    "n/a": ("n/a", "the method declines this pair"),
}


@dataclass
class Sheet:
    """A table as text: `header` and `rows` have equally many columns; an entry may have several lines."""

    title: str
    header: list[list[str]]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def sheet(table: Table, dataset: str, results: list[CellResult], *, best: bool) -> Sheet:
    """One table of a grid in its layout. `best` shows the best epoch's accuracies instead of the last's."""
    of_table = [result for result in results if result.cell.table.name == table.name]
    lay_out = _ablation if table.layout == "ablation" else _pairs
    page = lay_out(table, of_table, best)
    page.title = f"{table.name}: {table.title}" + (f" (here on {dataset})" if of_table[0].elsewhere else "")
    page.notes = _notes(of_table, best)
    return page


def _pairs(table: Table, results: list[CellResult], best: bool) -> Sheet:
    by_key = {(r.cell.row.key, str(r.cell.pair)): r for r in results}
    teachers = ["Teacher", *(_teacher(pair, results) for pair in table.pairs)]
    students = ["Student", *(pair.student for pair in table.pairs)]
    rows = [
        [_label(by_key[row.key, str(table.pairs[0])]), *(entry(by_key[row.key, str(p)], best) for p in table.pairs)]
        for row in table.rows
    ]
    return Sheet("", [teachers, students], rows)


def _label(result: CellResult) -> str:
    return textwrap.fill(result.cell.label, LABEL_WIDTH)


def _ablation(table: Table, results: list[CellResult], best: bool) -> Sheet:
    pair = table.pairs[0]
    switches = list(dict.fromkeys(switch for row in table.rows for switch in row.marks))
    header = [["Teacher → Student", _teacher(pair, results) + f" → {pair.student}", *[""] * (len(table.rows) - 1)]]
    rows = [[switch, *("✓" if row.marks.get(switch) else "" for row in table.rows)] for switch in switches]
    if not switches:
        rows = [["Variant", *(result.cell.label for result in results)]]
    return Sheet("", header, [*rows, ["Test accuracy", *(entry(result, best) for result in results)]])


def _teacher(pair: Pair, results: list[CellResult]) -> str:
    measured = next((r.teacher_top1 for r in results if r.cell.pair == pair and r.teacher_top1 is not None), None)
    return f"{pair.teacher} {measured:.2f}" if measured is not None else pair.teacher


def entry(result: CellResult, best: bool) -> str:
    """A cell's text: mean ± std (n) with its mark; below it top-5 where it was measured, the paper's value and the
    difference.
    """
    if result.status in ("missing", "n/a"):
        text = MARKS[result.status][0]
    else:
        text = _measured(result, best) + MARKS.get(result.status, ("",))[0]
    # Half of the seeds would be another mean than that above it.
    if not best and result.top5.values and len(result.top5.values) == len(result.seeds):
        text += f"\ntop-5 {result.top5.mean:.2f}"
    if result.published is None:
        return text
    paper = f"paper {result.published.mean:.2f}"
    if result.published.std is not None:
        paper += f"±{result.published.std:.2f}"
    difference = result.difference(best)
    return f"{text}\n{paper}" + (f" ({difference:+.2f})" if difference is not None else "")


def _measured(result: CellResult, best: bool) -> str:
    summary = result.value(best)
    if summary.mean is None:
        return "–"
    spread = f"±{summary.std:.2f}" if summary.std is not None else ""
    return f"{summary.mean:.2f}{spread} ({len(summary.values)})"


def _notes(results: list[CellResult], best: bool) -> list[str]:
    which = (
        "best epoch's top-1 test accuracy (selected on the test set)" if best else "last epoch's top-1 test accuracy"
    )
    notes = [f"{which}, %, mean ± sample std (n seeds)"]
    if any(result.published for result in results):
        notes[0] += "; below it the paper's value and ours minus the paper's"
    if results[0].elsewhere:
        notes.append(not_comparable(results[0].elsewhere))
    elif results[0].cell.table.paper and not all(result.cell.row.published for result in results):
        notes.append("the paper's numbers are left out where recipe or parameters are other ones")
    used = {result.status for result in results}
    notes += [f"{mark} {meaning}" for status, (mark, meaning) in MARKS.items() if status in used]
    declined = {(r.cell.row.key, str(r.cell.pair), r.cell.declined) for r in results if r.cell.declined}
    notes += [f"{method} on {pair}: {why}" for method, pair, why in sorted(declined)]
    return notes
