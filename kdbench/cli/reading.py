"""Records as commands that train nothing read them: what is damaged or stale is said and left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import typer

from kdbench.cells import distinct
from kdbench.cli.options import RESULTS
from kdbench.cli.session import Session
from kdbench.data.dataset import called
from kdbench.execution.plan import Plan, make_plan
from kdbench.execution.staleness import Present
from kdbench.inputs.commands import kdbench
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted, few
from kdbench.store.records import Record
from kdbench.store.store import Store


def plan_of(session: Session, data_sha256: str | None = None) -> Plan:
    """The plan of the session's grid against its results folder.

    `data_sha256` is that of the loaded data; what is known of data that were not loaded is compared without it.
    """
    runs = distinct(run for cell in session.expansion.cells for run in cell.runs)
    return make_plan(runs, session.store, Present(session.registry, data_sha256 or session.data.info.checksum))


def existing_store(results: Path) -> Store:
    """A results folder that is there. Raises `UserError` for one that is not: its name was misspelt."""
    if not results.is_dir():
        raise UserError(
            f"results folder {results} does not exist; name one with --results, or train one with `kdbench run`."
        )
    return Store(results)


def check_folder(session: Session) -> None:
    """The same for the folder that a grid is read from; the default one may be still to come."""
    if session.store.root != RESULTS or RESULTS.exists():
        existing_store(session.store.root)


def readable_records(session: Session, keep_stale: bool) -> dict[str, Record]:
    """The records of the results folder by run id, the grid's stale ones among them only if they are to be kept."""
    found, plan = session.store.find(), plan_of(session)
    for damage in found.damaged:
        typer.echo(f"kdbench: warning: {damage}", err=True)
    stale = {run_id: why for run_id, why in plan.stale.items() if run_id in found.records}
    if stale:
        what = "shown as they are" if keep_stale else "left out"
        hint = "" if keep_stale else "; show them with --keep stale, or train them again: `kdbench run … --rerun stale`"
        typer.echo(f"kdbench: warning: {describe_stale(stale)}: {what}{hint}.", err=True)
    if others := _of_other_data(session, found.records.values()):
        typer.echo(f"kdbench: warning: {others}", err=True)
    shown = {run_id: record for run_id, record in found.records.items() if keep_stale or run_id not in stale}
    of_grid = [run.id for cell in session.expansion.cells for run in cell.runs if run.id in shown]
    if len(unlike := {shown[run_id].data_sha256: run_id for run_id in of_grid}) > 1:
        typer.echo(
            f"kdbench: warning: results were made on unlike data of one name (runs {few([*unlike.values()])}) and do "
            "not compare; `kdbench run … --rerun stale` trains those of other data than yours again.",
            err=True,
        )
    return shown


def _of_other_data(session: Session, records: Iterable[Record]) -> str | None:
    """A sentence on results of other data that are called as the session's are; None where there are none."""
    mine = session.data.info.name
    names = Counter(record.run.dataset for record in records)
    others = {name: count for name, count in names.items() if name != mine and called(name) == called(mine)}
    if not others:
        return None
    counted = ", ".join(f"{count} of {name}" for name, count in sorted(others.items()))
    return (
        f"{session.store.root} also holds results of other data called '{called(mine)}' ({counted}); yours are {mine}, "
        "and the others are left out."
    )


def nothing_finished(session: Session, grid: str) -> UserError:
    """The error for a grid, as the command called it, of which there is nothing to show."""
    run = kdbench("run", "--grid", grid)
    return UserError(f"no finished run of grid '{grid}' in {session.store.root}; `{run}` makes them.")


def describe_stale(stale: dict[str, str]) -> str:
    """How many results are stale, why, and some of their run ids."""
    reasons: dict[str, list[str]] = {}
    for run_id, why in stale.items():
        reasons.setdefault(why, []).append(run_id)
    parts = [f"{len(ids)} because {why} ({few(ids)})" for why, ids in reasons.items()]
    return f"{counted(len(stale), 'result')} {'is' if len(stale) == 1 else 'are'} stale: {'; '.join(parts)}"
