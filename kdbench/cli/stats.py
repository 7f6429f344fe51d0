"""`kdbench stats`: which differences in a grid's tables mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kdbench.cli import options
from kdbench.cli.session import Session, with_session
from kdbench.cli.terminal import tell

if TYPE_CHECKING:
    from kdbench.report.predictions import CellPredictions
    from kdbench.report.results import CellResult

#: What methods are measured against unless told otherwise, where the grid has them.
REFERENCES = ("kd", "student")


@with_session
def stats(
    session: Session,
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", help="Row to compare with, METHOD or METHOD/VARIANT; else kd and student."),
    ] = None,
    predictions: Annotated[
        bool,
        typer.Option("--predictions", help="Add agreement with the teacher and calibration; needs kdbench[metrics]."),
    ] = False,
    device: options.DeviceOption = "auto",
    format: Annotated[Literal["text", "markdown"], typer.Option("--format", help="How it is written.")] = "text",
    as_json: options.JsonOption = False,
    keep: options.KeepOption = None,
) -> None:
    """Print paired differences, gains over all pairs, the comparison with the paper, and costs. Trains nothing.

    Give the options that the runs were made with. docs/statistics.md says how each number is formed.
    """
    from kdbench.cli.reading import check_folder, readable_records
    from kdbench.report.evidence import evidence, render
    from kdbench.report.results import cell_results

    options.refuse_two_formats(format, as_json)
    check_folder(session)
    records = readable_records(session, keep == "stale")
    found = cell_results(session.expansion, records, session.registry)
    rows = {cell.row.key for cell in session.expansion.cells}
    references = reference or [name for name in REFERENCES if name in rows]
    predicted = _predictions(session, found, device) if predictions else []
    tell(render(evidence(found, records, session.registry, references, predicted), "json" if as_json else format))


def _predictions(session: Session, results: list[CellResult], device: str) -> list[CellPredictions]:
    from kdbench.environment.device import resolve_device
    from kdbench.execution.teachers import TeacherShelf
    from kdbench.report.predictions import Predictor

    where = resolve_device(device)
    dataset = session.data.loaded
    shelf = TeacherShelf(session.store, session.registry, dataset, where, session.imported)
    return Predictor(session.store, session.registry, dataset, where, shelf).predictions(results)
