"""`kdbench baseline`: freeze measured accuracies for `kdbench check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdbench.cli import options
from kdbench.cli.session import Session, with_session
from kdbench.cli.terminal import tell
from kdbench.gate.margin import MARGIN, checked_margin
from kdbench.inputs import paths
from kdbench.inputs.wording import counted

app = typer.Typer(help="Baselines that `kdbench check` compares with.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `save` a word of its own while it is the only command."""


@app.command("save")
@with_session
def save(
    session: Session,
    file: Annotated[Path, typer.Argument(parser=paths.new_file, metavar="FILE", help="The JSON file to write.")],
    margin: Annotated[
        float,
        typer.Option(
            callback=checked_margin, help="Points, from 0, by which a cell may get worse; `kdbench check` uses it."
        ),
    ] = MARGIN,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    keep: options.KeepOption = None,
) -> None:
    """Freeze the finished runs of a grid, seed by seed, with versions, run ids and all it takes to run them again.

    Give the options that the runs were made with; every run of the selection must be done.
    """
    from kdbench.cli.reading import check_folder, readable_records
    from kdbench.gate.baseline import freeze, write_baseline

    check_folder(session)
    records = readable_records(session, keep == "stale")
    used = {cell.teacher.architecture: cell.teacher.imported for cell in session.expansion.cells}
    imported = {architecture: digest for architecture, digest in used.items() if digest}
    frozen = freeze(session.expansion, records, imported, margin)
    write_baseline(frozen, file, overwrite=force)
    runs = sum(len(cell.values) for cell in frozen.cells)
    what = f"{counted(len(frozen.cells), 'cell')}, {counted(runs, 'run')}"
    tell(f"{file}: {what}, margin {margin:g} points")
