"""`kdbench compare`: the difference of two results folders or baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kdbench.cli import options
from kdbench.cli.terminal import tell
from kdbench.inputs import paths


def compare(
    a: Annotated[
        Path,
        typer.Argument(parser=paths.path, metavar="A", help="A results folder, or a file of `kdbench baseline save`."),
    ],
    b: Annotated[Path, typer.Argument(parser=paths.path, metavar="B", help="Another.")],
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="One minus the intervals' level.")] = 0.05,
    as_json: options.JsonOption = False,
) -> None:
    """Show B − A in points for every cell that both have, paired by seed where the seeds match. Trains nothing."""
    from kdbench.gate.compare import compare as compare_sides
    from kdbench.gate.compare_text import text
    from kdbench.gate.sides import read_side

    comparison = compare_sides(read_side(a), read_side(b), alpha=alpha)
    if as_json:
        tell(json.dumps(comparison.as_json(), indent=1, ensure_ascii=False))
    else:
        tell(text(comparison, alpha))
