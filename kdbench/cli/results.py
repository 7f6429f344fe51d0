"""`kdbench results`: look after a results folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdbench.cli.completion import names
from kdbench.cli.options import RESULTS, DataDirOption, JsonOption, PluginOption, ResultsOption
from kdbench.cli.terminal import tell
from kdbench.inputs.commands import kdbench
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted

if TYPE_CHECKING:
    from kdbench.execution.upkeep import Problem
    from kdbench.store.store import Store

app = typer.Typer(help="Verify, repair and clean a results folder.", no_args_is_help=True)


@app.command()
def check(
    results: ResultsOption = RESULTS,
    data: Annotated[bool, typer.Option("--data", help="Read all data as well, and compare them.")] = False,
    dataset: Annotated[
        str, typer.Option("--dataset", autocompletion=names("dataset"), help="With --data: where they lie now.")
    ] = "",
    data_dir: DataDirOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify every record, checkpoint and weights file; exit 1 if anything is damaged. Changes nothing.

    With --data also whether data are what records rest on. Of a streamed data set all files are read, and their digest
    is noted in the results folder by the first such check and compared by later ones.
    """
    from kdbench.cli.reading import existing_store
    from kdbench.execution import upkeep

    if dataset and not data:
        raise UserError("--dataset says where the data lie that --data reads; give both.")
    store = existing_store(results)
    found = list(upkeep.problems(store))
    unsound = {problem.path for problem in found}
    sound = sum(path not in unsound for path in store.files("records", ".json"))
    told, changed = _data(store, dataset, data_dir, plugin) if data else ([], [])
    found += changed
    tell(_json(results, sound, found, told) if as_json else "\n".join([*told, _text(results, sound, found)]))
    if found:
        raise typer.Exit(1)


def _data(
    store: Store, spec: str, data_dir: Path | None, plugins: list[Path] | None
) -> tuple[list[str], list[Problem]]:
    """Lines on the data sets that records rest on, and what is wrong with them; of `spec` alone, if it is given."""
    from kdbench.cli.values import registry_with
    from kdbench.execution.data_check import check_data

    registry = registry_with(plugins)
    records = store.find().records
    there = {record.run.dataset for record in records.values()}
    known = [name for name in sorted(there) if name in registry.usable("dataset")]
    specs = [spec] if spec else [name for name in known if registry.dataset(name).available(data_dir)]
    told = [] if spec else [f"{name}: not read; say where it lies with --dataset" for name in sorted(there - {*specs})]
    problems = []
    for one in specs:
        checked = check_data(store, registry.dataset(one).load(data_dir), records)
        told += checked.told
        problems += checked.problems
    return told, problems


def _json(results: Path, sound: int, problems: list[Problem], told: list[str]) -> str:
    described = [
        {"path": str(problem.path), "what": problem.what, "to_set_aside": list(map(str, problem.aside))}
        for problem in problems
    ]
    found = {"folder": str(results), "sound_records": sound, "problems": described, "data": told}
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
