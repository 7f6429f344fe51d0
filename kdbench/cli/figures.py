"""`kdbench figures`: a grid's figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from kdbench.cli import options
from kdbench.cli.session import Session, with_session
from kdbench.cli.stats import REFERENCES
from kdbench.cli.terminal import tell
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError
from kdbench.report.figures.kinds import KINDS, Format

OutputOption = Annotated[
    Path, typer.Option("--output", "-o", parser=paths.new_folder, metavar="FOLDER", help="The folder to write to.")
]
FormatOption = Annotated[str, typer.Option("--format", help="svg, png or both, comma-separated.")]


@with_session
def figures(
    session: Session,
    grid: options.GridOption = "",
    output: OutputOption = Path("figures"),
    format: FormatOption = "svg",
    kinds: Annotated[str, typer.Option("--kinds", help=f"Only some of {', '.join(KINDS)}.")] = ",".join(KINDS),
    reference: Annotated[str, typer.Option("--reference", help="Row of the forest plots; else kd or student.")] = "",
    keep: options.KeepOption = None,
) -> None:
    """Draw learning curves, paired differences, costs, loss terms and diagnostics, a file each. Trains nothing.

    Give the options that the runs were made with. `kdbench diagnose` draws the distribution of one run's diagnostics.
    """
    from kdbench.cli.reading import check_folder, nothing_finished, readable_records
    from kdbench.report.figures.catalogue import figures as draw
    from kdbench.report.figures.series import plots
    from kdbench.report.figures.style import save
    from kdbench.report.figures.terms import left_out
    from kdbench.report.paired import compare_to
    from kdbench.report.results import cell_results

    formats, wanted = formats_of(format), chosen("--kinds", kinds, KINDS)
    check_folder(session)
    records = readable_records(session, keep == "stale")
    found = cell_results(session.expansion, records, session.registry)
    rows = {cell.row.key for cell in session.expansion.cells}
    references = [reference] if reference else [name for name in REFERENCES if name in rows][:1]
    compared = [one for name in references for one in compare_to(found, name)]
    shown = plots(session.expansion, found, records, session.registry)
    if not shown:
        raise nothing_finished(session, grid)
    lost = dict.fromkeys(label for plot in shown for label in plot.unweighted)
    if lost and "terms" in wanted:
        typer.echo(f"kdbench: warning: loss terms are drawn {left_out(lost)}.", err=True)
    for entry in draw(shown, compared, wanted):
        for kind in formats:
            path = output / f"{entry.name}.{kind}"
            save(entry.figure, path, kind)
            tell(path)


def formats_of(text: str) -> list[Format]:
    """The formats that `--format` names."""
    return [cast(Format, name) for name in chosen("--format", text, get_args(Format))]


def chosen(option: str, text: str, known: tuple[str, ...]) -> list[str]:
    """Comma-separated words that must all be known."""
    from kdbench.cli.values import words

    found = list(words(text))
    if not found or not set(found) <= set(known):
        raise UserError(f"{option} takes {', '.join(known)}, comma-separated, not '{text}'.")
    return found
