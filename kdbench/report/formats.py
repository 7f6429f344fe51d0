"""Sheets and results as text, Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from tabulate import tabulate

from kdbench.cells import Expansion
from kdbench.report.escape import csv_cell, latex, markdown
from kdbench.report.layout import Sheet, sheet
from kdbench.report.results import CellResult

Format = Literal["text", "markdown", "csv", "latex", "json"]


def render(
    expansion: Expansion, results: list[CellResult], format: Format, *, best: bool = False, width: int | None = None
) -> str:
    """All tables of a grid in one format. CSV and JSON have one row or object a cell and both accuracies; `width` is
    that of the terminal that text is for, if it is for one.
    """
    if format == "json":
        return json.dumps([as_json(expansion, result) for result in results], indent=1, ensure_ascii=False)
    if format == "csv":
        return _csv(expansion, results)
    sheets = [sheet(table, expansion.info.name, results, best=best) for table in expansion.grid.tables]
    writers: dict[str, Callable[[Sheet], str]] = {
        "text": partial(_text, width=width),
        "markdown": _markdown,
        "latex": _latex,
    }
    return "\n\n".join(writers[format](page) for page in sheets)


def as_json(expansion: Expansion, result: CellResult) -> dict[str, Any]:
    """One cell as plain data."""
    cell = result.cell
    published = result.published
    return {
        "grid": expansion.grid.name,
        "table": cell.table.name,
        "dataset": expansion.info.name,
        "teacher": cell.pair.teacher,
        "student": cell.pair.student,
        "method": cell.row.method,
        "variant": cell.row.variant,
        "n": len(result.seeds),
        "seeds": list(result.seeds),
        "status": result.status,
        "declined": cell.declined,
        "caveat": cell.caveat or None,
        "top1_last": result.last.as_json(),
        "top1_best": result.best.as_json(),
        **({"top5_last": result.top5.as_json()} if result.top5.values else {}),
        "paper": {"mean": published.mean, "std": published.std} if published else None,
    }


def _csv(expansion: Expansion, results: list[CellResult]) -> str:
    rows = [_flat(as_json(expansion, result)) for result in results]
    out = io.StringIO()
    # Cells that were measured alone have top-5.
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), "", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def _flat(cell: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in cell.items() if not isinstance(value, dict | list) and key != "paper"}
    flat = {key: csv_cell(value) if isinstance(value, str) else value for key, value in flat.items()}
    flat["seeds"] = " ".join(map(str, cell["seeds"]))
    for name in ("top1_last", "top1_best", *(["top5_last"] if "top5_last" in cell else [])):
        flat |= {f"{name}_mean": cell[name]["mean"], f"{name}_std": cell[name]["std"]}
        flat[f"{name}_values"] = " ".join(map(repr, cell[name]["values"]))
    paper = cell["paper"] or {"mean": None, "std": None}
    return flat | {"paper_mean": paper["mean"], "paper_std": paper["std"]}


def _text(page: Sheet, width: int | None) -> str:
    rows = [*page.header, *page.rows]
    parts = ([[row[column] for column in columns] for row in rows] for columns in _abreast(page, width))
    tables = (tabulate(more, headers=first, tablefmt="grid", disable_numparse=True) for first, *more in parts)
    return "\n".join([page.title, *tables, *page.notes])


def _abreast(page: Sheet, width: int | None) -> Iterator[list[int]]:
    """The columns of each of the tables into which a page is broken where it is wider than the terminal: the labels,
    and as many others as fit. What has one heading over several columns is left whole.
    """
    rows = [*page.header, *page.rows]
    # tabulate's grid adds a bar and two spaces to a column, and one more bar at the end.
    wide = [3 + max(len(line) for row in rows for line in row[column].split("\n")) for column in range(len(rows[0]))]
    room = width - wide[0] - 1 if width and all(page.header[0]) else sum(wide)
    chosen: list[int] = []
    for column in range(1, len(wide)):
        if chosen and sum(wide[other] for other in (*chosen, column)) > room:
            yield [0, *chosen]
            chosen = []
        chosen.append(column)
    yield [0, *chosen]


def _markdown(page: Sheet) -> str:
    first, *more = ([*map(markdown, row)] for row in [*page.header, *page.rows])
    table = tabulate(more, headers=first, tablefmt="pipe", disable_numparse=True)
    return "\n".join([f"**{markdown(page.title)}**", "", table, "", *(f"- {markdown(note)}" for note in page.notes)])


def _latex(page: Sheet) -> str:
    """A booktabs table, made smaller where it is wider than the text; needs booktabs, amssymb and graphicx."""
    notes = "; ".join(page.notes)

    def line(row: Iterable[str]) -> str:
        return " & ".join(_cell(entry) for entry in row) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex(page.title)}. {latex(notes[:1].upper() + notes[1:])}.}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'c' * (len(page.header[0]) - 1)}}}",
            r"\toprule",
            *(" & ".join(_spanning(row)) + r" \\" for row in page.header),
            r"\midrule",
            *(line(row) for row in page.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _cell(entry: str) -> str:
    lines = [latex(part) for part in entry.split("\n")]
    if len(lines) == 1:
        return lines[0]
    return r"\begin{tabular}{@{}c@{}}" + r"\\".join(lines) + r"\end{tabular}"


def _spanning(row: list[str]) -> list[str]:
    """A header's entries; one that is followed by empty ones spans them."""
    entries: list[str] = []
    widths: list[int] = []
    for text in row:
        if text or not entries:
            entries.append(_cell(text))
            widths.append(1)
        else:
            widths[-1] += 1
    spans = zip(entries, widths, strict=True)
    return [rf"\multicolumn{{{width}}}{{c}}{{{entry}}}" if width > 1 else entry for entry, width in spans]
