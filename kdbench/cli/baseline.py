"""`kdbench baseline`: freeze measured accuracies for `kdbench check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdbench.cli import options
from kdbench.cli.options import RESULTS, open_session
from kdbench.cli.reading import readable_records
from kdbench.gate.baseline import MARGIN, freeze, write_baseline
from kdbench.names import checked_path

app = typer.Typer(help="Baselines that `kdbench check` compares with.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `save` a word of its own while it is the only command."""


@app.command("save")
def save(
    file: Annotated[Path, typer.Argument(callback=checked_path, help="The JSON file to write.")],
    grid: options.GridOption = "quick",
    margin: Annotated[
        float, typer.Option(min=0, help="Points by which a cell may get worse; `kdbench check` uses it.")
    ] = MARGIN,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    tables: options.TablesOption = "",
    pairs: options.PairsOption = "",
    methods: options.MethodsOption = "",
    seeds: options.SeedsOption = "",
    dataset: options.DatasetOption = "",
    data_dir: options.DataDirOption = None,
    settings: options.SetOption = None,
    precision: options.PrecisionOption = "",
    results: options.ResultsOption = RESULTS,
    plugin: options.PluginOption = None,
    teacher: options.TeacherOption = None,
    keep: options.KeepOption = None,
) -> None:
    """Freeze the finished runs of a grid, seed by seed, with versions, run ids and all it takes to run them again.

    Give the options that the runs were made with; every run of the selection must be done.
    """
    session = open_session(
        grid=grid,
        tables=tables,
        pairs=pairs,
        methods=methods,
        seeds=seeds,
        dataset=dataset,
        data_dir=data_dir,
        settings=settings,
        precision=precision,
        results=results,
        plugins=plugin,
        teachers=teacher,
    )
    records = readable_records(session, keep == "stale")
    used = {cell.teacher.architecture: cell.teacher.imported for cell in session.expansion.cells}
    imported = {architecture: digest for architecture, digest in used.items() if digest}
    frozen = freeze(session.expansion, records, imported, margin)
    write_baseline(frozen, file, overwrite=force)
    runs = sum(len(cell.values) for cell in frozen.cells)
    print(f"{file}: {len(frozen.cells)} cells, {runs} runs, margin {margin:g} points")
