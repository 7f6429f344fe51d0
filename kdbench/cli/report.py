"""`kdbench report`: a grid's tables, figures and provenance as one HTML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdbench.cli import options
from kdbench.cli.session import Session, with_session
from kdbench.cli.stats import REFERENCES
from kdbench.cli.terminal import tell
from kdbench.inputs import paths
from kdbench.inputs.commands import command_line
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.store.records import Record


@with_session
def report(
    session: Session,
    grid: options.GridOption = "",
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=paths.new_file, metavar="FILE", help="The file to write.")
    ] = Path("report.html"),
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", help="Row to compare with, METHOD or METHOD/VARIANT; else kd and student."),
    ] = None,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="With figures, which take seconds.")] = True,
    watch: Annotated[bool, typer.Option("--watch", help="Serve it on 127.0.0.1 and follow the records.")] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port for --watch; 0: a free one.")] = 8765,
    keep: options.KeepOption = None,
) -> None:
    """Write a grid's page: one self-contained HTML file. Trains nothing.

    Give the options that the runs were made with: a run of another recipe or data set is another run.
    """
    from kdbench.cli.reading import check_folder, nothing_finished, readable_records

    command, keep_stale = command_line(), keep == "stale"
    if watch:
        _follow(
            session,
            lambda: page(
                session, readable_records(session, keep_stale), command, reference, figures=figures, watched=True
            ),
            port,
        )
        return
    check_folder(session)
    records = readable_records(session, keep_stale)
    if not any(run.id in records for cell in session.expansion.cells for run in cell.runs):
        raise nothing_finished(session, grid)
    write_report(session, records, output, command, reference, figures=figures)
    tell(f"report: {output}")


def _follow(session: Session, make_page: Callable[[], str], port: int) -> None:
    """Serve the page, made anew when records have changed."""
    import threading

    from kdbench.report.page.watch import Watch, serve

    folder = session.store.record_path("any").parent
    try:
        serve(Watch(folder, make_page), port, tell, threading.Event())
    except OSError as error:
        raise UserError(f"port {port} cannot be served ({error.strerror}); give another --port.") from None


def write_report(
    session: Session,
    records: dict[str, Record],
    path: Path,
    command: str,
    references: list[str] | None = None,
    *,
    figures: bool = True,
) -> None:
    """Write the page of a session's grid. `command` is what the page says makes it again."""
    from kdbench.store.files import write_atomically

    write_atomically(path, page(session, records, command, references, figures=figures).encode())


def page(
    session: Session,
    records: dict[str, Record],
    command: str,
    references: list[str] | None = None,
    *,
    figures: bool = True,
    watched: bool = False,
) -> str:
    """The page of a session's grid as text. `UserError` for an unknown reference."""
    from kdbench.report.page.render import render

    rows = {cell.row.key for cell in session.expansion.cells}
    return render(
        session.expansion,
        records,
        session.registry,
        command=command,
        references=references or [name for name in REFERENCES if name in rows],
        with_figures=figures,
        watched=watched,
    )
