"""`kdbench table`: a grid's tables from the records that are there."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from kdbench.cli import options
from kdbench.cli.session import Session, with_session
from kdbench.cli.terminal import screen_width, tell


@with_session
def table(
    session: Session,
    format: Annotated[
        Literal["text", "markdown", "csv", "latex"], typer.Option("--format", help="How the tables are written.")
    ] = "text",
    as_json: options.JsonOption = False,
    best: Annotated[
        bool, typer.Option("--best", help="Show the best epoch, which is selected on the test set, not the last.")
    ] = False,
    keep: options.KeepOption = None,
) -> None:
    """Print the tables of a grid, mean ± sample std beside the paper's numbers. Trains nothing.

    Give the options that the runs were made with: a run of another recipe or data set is another run.
    """
    from kdbench.cli.reading import check_folder, readable_records
    from kdbench.report.formats import render
    from kdbench.report.results import cell_results

    options.refuse_two_formats(format, as_json)
    check_folder(session)
    records = readable_records(session, keep == "stale")
    found = cell_results(session.expansion, records, session.registry)
    tell(render(session.expansion, found, "json" if as_json else format, best=best, width=screen_width()))
