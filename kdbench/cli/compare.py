"""`kdbench compare`: the difference of two results folders or baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from tabulate import tabulate

from kdbench.cli import options
from kdbench.gate.compare import Compared, Comparison
from kdbench.gate.compare import compare as compare_sides
from kdbench.gate.sides import read_side
from kdbench.report.words import signed, spread


def compare(
    a: Annotated[Path, typer.Argument(help="A results folder, or a file of `kdbench baseline save`.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="One minus the intervals' level.")] = 0.05,
    as_json: options.JsonOption = False,
) -> None:
    """Show B − A in points for every cell that both have, paired by seed where the seeds match. Trains nothing."""
    comparison = compare_sides(read_side(a), read_side(b), alpha=alpha)
    if as_json:
        print(json.dumps(comparison.as_json(), indent=1, ensure_ascii=False))
    else:
        print(_text(comparison, alpha))


def _text(comparison: Comparison, alpha: float) -> str:
    rows = [_row(cell) for cell in comparison.cells]
    header = ["cell", "A", "B", "B − A [interval]", "separated"]
    lines = [tabulate(rows, headers=header, tablefmt="simple", disable_numparse=True), ""]
    lines += [f"{cell.title}: {problem}" for cell in comparison.cells for problem in _problems(cell)]
    lines += [f"only in A: {title}" for title in comparison.only_a]
    lines += [f"only in B: {title}" for title in comparison.only_b]
    lines += [f"A → B: {comparison.surroundings}"] if comparison.surroundings else []
    lines.append(
        f"last epoch's accuracy, %, mean ± sample std (n); t intervals at {100 * (1 - alpha):g} %; separated: zero is "
        f"excluded after Holm's correction for {len(comparison.cells)} comparisons"
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
