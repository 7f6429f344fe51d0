"""The difference of two sides as text."""

from __future__ import annotations

from tabulate import tabulate

from kdbench.gate.compare import Compared, Comparison
from kdbench.inputs.wording import counted
from kdbench.report.words import signed, spread


def text(comparison: Comparison, alpha: float) -> str:
    """A row for each cell that both sides have, then what is wrong with one, and what only one of them has."""
    rows = [_row(cell) for cell in comparison.cells]
    header = ["cell", "A", "B", "B − A [interval]", "separated"]
    lines = [tabulate(rows, headers=header, tablefmt="simple", disable_numparse=True), ""]
    lines += [f"{cell.title}: {problem}" for cell in comparison.cells for problem in _problems(cell)]
    lines += [f"only in A: {title}" for title in comparison.only_a]
    lines += [f"only in B: {title}" for title in comparison.only_b]
    lines += [f"A → B: {comparison.surroundings}"] if comparison.surroundings else []
    lines.append(
        f"last epoch's accuracy, %, mean ± sample std (n); t intervals at {100 * (1 - alpha):g} %; separated: zero is "
        f"excluded after Holm's correction for {counted(len(comparison.cells), 'comparison')}"
    )
    return "\n".join(lines)


def _row(cell: Compared) -> list[str]:
    change = signed(cell.difference.mean if cell.difference else None, cell.interval)
    kind = " (unpaired)" if cell.difference and cell.difference.kind == "welch" else ""
    return [
        cell.title,
        spread(cell.old.summary),
        spread(cell.new.summary),
        change + kind,
        "yes" if cell.separated else "no",
    ]


def _problems(cell: Compared) -> list[str]:
    found = [
        f"{side}: seed {seed} {status}"
        for side, measured in (("A", cell.old), ("B", cell.new))
        for seed, status in measured.without.items()
    ]
    found += [f"recipe: {cell.recipe_change}"] if cell.recipe_change else []
    return found + ([cell.teacher_change] if cell.teacher_change else [])
