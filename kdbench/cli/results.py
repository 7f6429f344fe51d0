"""`kdbench results`: look after a results folder."""

from __future__ import annotations

from typing import Annotated

import typer

from kdbench.cli.options import RESULTS, ResultsOption
from kdbench.cli.terminal import tell
from kdbench.inputs.commands import kdbench
from kdbench.inputs.wording import counted

app = typer.Typer(help="Verify, repair and clean a results folder.", no_args_is_help=True)


@app.command()
def check(results: ResultsOption = RESULTS) -> None:
    """Verify every record, checkpoint and weights file; exit 1 if anything is damaged. Changes nothing."""
    from kdbench.cli.reading import existing_store
    from kdbench.execution import upkeep

    store = existing_store(results)
    found = list(upkeep.problems(store))
    for problem in found:
        tell(f"{problem.path}: {problem.what}")
    unsound = {problem.path for problem in found}
    sound = [path for path in store.files("records", ".json") if path not in unsound]
    tell(f"{results}: {counted(len(sound), 'sound record')}, {counted(len(found), 'problem')}")
    if any(problem.aside for problem in found):
        mend = kdbench("results", "repair", "--results", results)
        tell(f"`{mend}` sets damaged files aside, for their runs to be trained again")
    if found:
        raise typer.Exit(1)


@app.command()
def repair(results: ResultsOption = RESULTS) -> None:
    """Set damaged files aside in the folder `damaged`; the next `kdbench run` trains their runs again."""
    from kdbench.cli.reading import existing_store
    from kdbench.execution import upkeep

    done = upkeep.repair(existing_store(results))
    for problem, places in done:
        tell(f"{problem.path}: {problem.what}; set aside: {', '.join(map(str, places))}")
    tell(f"{results}: {counted(len(done), 'problem')} repaired")


@app.command()
def gc(
    results: ResultsOption = RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove what nothing needs: half-written files, claims of processes that are gone, checkpoints of finished runs.

    Records, weights, and what was set aside stay.
    """
    from kdbench.cli.reading import existing_store
    from kdbench.execution import upkeep

    paths = upkeep.leftovers(existing_store(results))
    for path in paths:
        tell(path)
    if dry_run:
        tell(f"{results}: {counted(len(paths), 'file')} would be removed")
    else:
        tell(f"{results}: {counted(len(paths), 'file')} removed, {upkeep.collect(paths) / 1e6:.1f} MB")
