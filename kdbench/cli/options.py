"""Options that several commands share, as help shows them; values.py reads them.

What lies in this folder as a command is imported for every `--help`, so its top imports nothing heavier than this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kdbench.cli.completion import names, several
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError

GridOption = Annotated[
    str,
    typer.Option(
        "--grid", autocompletion=names("grid"), help="A grid's name or a YAML file; without it, grids are listed."
    ),
]
TablesOption = Annotated[str, typer.Option("--tables", help="Only these tables of the grid, comma-separated.")]
PairsOption = Annotated[
    str,
    typer.Option(
        "--pairs", autocompletion=several("architecture"), help="Only these pairs, as teacher:student,teacher:student."
    ),
]
MethodsOption = Annotated[
    str, typer.Option("--methods", autocompletion=several("method"), help="Only these methods, comma-separated.")
]
SeedsOption = Annotated[str, typer.Option("--seeds", help="Seeds, such as 0-4 or 0,1,7.")]
DatasetOption = Annotated[
    str, typer.Option("--dataset", autocompletion=names("dataset"), help="Another data set, such as folder:DIR.")
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", parser=paths.folder, metavar="FOLDER", help="Where data sets lie.")
]
RecipeOption = Annotated[
    str, typer.Option("--recipe", autocompletion=names("recipe"), help="A recipe's name (`kdbench list recipes`).")
]
GridRecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        autocompletion=names("recipe"),
        help="Another recipe (`kdbench list recipes`), as a whole; --set changes it further.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a recipe or a method: recipe.epochs=2, dskd.beta=10. May be repeated."),
]
VaryOption = Annotated[
    list[str] | None,
    typer.Option("--vary", help="Add a row for each value of a method's parameter: kd.tau=1,2,8. May be repeated."),
]
PrecisionOption = Annotated[str, typer.Option("--precision", help="fp32, tf32 or bf16; the same as recipe.precision.")]
ResultsOption = Annotated[
    Path,
    typer.Option(
        "--results", parser=paths.results_folder, metavar="FOLDER", help="Folder of records, checkpoints and weights."
    ),
]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", parser=paths.file, metavar="FILE", help="A Python file with hooks. May be repeated."),
]
TeacherOption = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        autocompletion=names("architecture"),
        help="Use imported weights: ARCH=FILE (`kdbench teachers import`). May be repeated.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
DevicesOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda (every GPU that is visible), or some: cuda:0,cuda:3.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

KeepOption = Annotated[
    Literal["stale"] | None,
    typer.Option(
        "--keep", help="stale: use results that were made by other code, data or teachers than there are now."
    ),
]
ConcurrencyOption = Annotated[
    str, typer.Option("--concurrency", help="GPU streams that the runs of a cohort share; auto measures it once.")
]

RESULTS = Path("results/runs")


def refuse_two_formats(format: str, as_json: bool) -> None:
    """Raise `UserError` if `--json` and another `--format` than the default are both given."""
    if as_json and format != "text":
        raise UserError(f"--json and --format {format} exclude each other; give one of them.")
