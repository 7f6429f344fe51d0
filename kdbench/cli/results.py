"""`kdbench results`: look after a results folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdbench.cli.options import RESULTS, JsonOption, ResultsOption
from kdbench.cli.terminal import tell
from kdbench.inputs.commands import kdbench
from kdbench.inputs.wording import counted

if TYPE_CHECKING:
    from kdbench.execution.upkeep import Problem

app = typer.Typer(help="Verify, repair and clean a results folder.", no_args_is_help=True)


@app.command()
def check(results: ResultsOption = RESULTS, as_json: JsonOption = False) -> None:
    """Verify every record, checkpoint and weights file; exit 1 if anything is damaged. Changes nothing."""
    from kdbench.cli.reading import existing_store
    from kdbench.execution import upkeep

    store = existing_store(results)
    found = list(upkeep.problems(store))
    unsound = {problem.path for problem in found}
    sound = sum(path not in unsound for path in store.files("records", ".json"))
    tell(_json(results, sound, found) if as_json else _text(results, sound, found))
    if found:
        raise typer.Exit(1)


def _json(results: Path, sound: int, problems: list[Problem]) -> str:
    described = [
        {"path": str(problem.path), "what": problem.what, "to_set_aside": list(map(str, problem.aside))}
        for problem in problems
    ]
    found = {"folder": str(results), "sound_records": sound, "problems": described}
    return json.dumps(found, indent=1, ensure_ascii=False)


def _text(results: Path, sound: int, problems: list[Problem]) -> str:
    lines = [f"{problem.path}: {problem.what}" for problem in problems]
    lines.append(f"{results}: {counted(sound, 'sound record')}, {counted(len(problems), 'problem')}")
    if any(problem.aside for problem in problems):
        mend = kdbench("results", "repair", "--results", results)
        lines.append(f"`{mend}` sets damaged files aside, for their runs to be trained again")
    return "\n".join(lines)


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
