"""The statistics as the page shows them: sortable tables whose rows the filters know."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdbench.cells import Expansion
from kdbench.report.evidence import Evidence, sections


@dataclass
class Row:
    """One line, with the pair and method it is about, empty where it is about more than one."""

    texts: list[str]
    pair: str
    method: str


@dataclass
class Part:
    """One table of statistics. `numeric` says which columns hold numbers; `open` whether it is seen at once."""

    title: str
    header: list[str]
    rows: list[Row]
    note: str
    numeric: list[bool]
    open: bool


def parts(found: Evidence, expansion: Expansion) -> list[Part]:
    """Every part of the statistics that has rows; those of single pairs, which are long, are closed at first."""
    pairs = {f"{cell.pair.teacher}→{cell.pair.student}": str(cell.pair) for cell in expansion.cells}
    methods = {
        (cell.table.name, name): cell.row.method for cell in expansion.cells for name in (cell.label, cell.row.key)
    }
    result = []
    for title, header, texts, note in sections(found):
        if not texts:
            continue
        rows = []
        for row in texts:
            # By its column: a table may have the name of a method.
            told = dict(zip(header, row, strict=True))
            pair, method = pairs.get(told.get("pair", ""), ""), methods.get((told["table"], told["method"]), "")
            rows.append(Row(_typeset(row), pair, method))
        numeric = [all(re.match(r"[-+>–]?\s?\d|–$|$", row[column]) for row in texts) for column in range(len(header))]
        result.append(Part(title, header, rows, note, numeric, "pair" not in header))
    return result


def _typeset(row: list[str]) -> list[str]:
    """With minus signs in front of numbers."""
    return [re.sub(r"(?<![\w.])-(?=\d)", "−", text) for text in row]
