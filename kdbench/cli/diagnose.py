"""`kdbench diagnose`: what a finished run's method says of every training image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdbench.cli import options
from kdbench.cli.figures import FormatOption, OutputOption, chosen, formats_of
from kdbench.cli.options import RESULTS
from kdbench.cli.terminal import tell
from kdbench.inputs.errors import UserError
from kdbench.inputs.names import unfit_name

if TYPE_CHECKING:
    from torch import Tensor

#: The command that names runs, as sentences have it.
LISTING = "`kdbench run --grid NAME --dry-run`"


def diagnose(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A finished run that was kept with --keep-final.")],
    output: OutputOption = Path("figures"),
    format: FormatOption = "svg",
    values: Annotated[str, typer.Option("--values", help="Only these values, comma-separated.")] = "",
    as_json: options.JsonOption = False,
    device: options.DeviceOption = "auto",
    dataset: options.DatasetOption = "",
    data_dir: options.DataDirOption = None,
    results: options.ResultsOption = RESULTS,
    plugin: options.PluginOption = None,
    teacher: options.TeacherOption = None,
) -> None:
    """Evaluate what a method computes of single samples over the whole training set, and draw its distribution.

    With the state at the end of training; images are not augmented, network and modules are in eval mode.
    """
    from kdbench.cli.reading import existing_store
    from kdbench.cli.values import imported_teachers, registry_with
    from kdbench.data.dataset import called
    from kdbench.environment.device import resolve_device
    from kdbench.execution.reopen import reopen
    from kdbench.report.figures.samples import draw
    from kdbench.report.figures.style import save
    from kdbench.training.diagnosis import diagnose_all, diagnoses
    from kdbench.training.member import method_of
    from kdbench.training.numerics import numerics

    if why := unfit_name(run_id):
        raise UserError(f"'{run_id}' is no run's id: {why}; {LISTING} lists run ids.")
    registry = registry_with(plugin)
    formats = formats_of(format)
    store = existing_store(results)
    record = store.record(run_id)
    if record is None:
        raise UserError(f"there is no record of run '{run_id}' in {results}; {LISTING} lists run ids.")
    if record.run.role == "teacher":
        raise UserError(
            f"run '{run_id}' is a teacher's ({record.run.student}), and a teacher has no method to diagnose; give the "
            f"id of a student's run, which {LISTING} lists."
        )
    if not diagnoses(method_of(record.run, registry)[0]):
        raise UserError(f"method '{record.run.method}' tells nothing of single samples (it has no `diagnose`).")
    if not dataset and called(record.run.dataset) != record.run.dataset:
        raise UserError(
            f"run '{run_id}' was trained on {record.run.dataset}, data of somebody's own; say where they lie now, as "
            "in --dataset folder:DIR."
        )
    loaded = registry.dataset(dataset or record.run.dataset).load(data_dir)
    files = dict(imported_teachers(teacher or [], registry).values())
    where = resolve_device(device)
    member, taught_by = reopen(record, store, registry, loaded, where, files)
    with numerics(record.run.recipe.precision):
        found = diagnose_all(member, taught_by, loaded, where)
    if values:
        found = {name: found[name] for name in chosen("--values", values, tuple(found))}
    if as_json:
        tell(json.dumps({"run": run_id, "images": len(loaded.train.labels), "values": _summaries(found)}, indent=1))
    else:
        for name, summary in _summaries(found).items():
            tell(f"{name}: " + ", ".join(f"{key} {number:.4f}" for key, number in summary.items()))
    figure = draw({name: value.numpy() for name, value in found.items()}, f"{record.run.title}, training set")
    for kind in formats:
        path = output / f"{run_id}-samples.{kind}"
        save(figure, path, kind)
        typer.echo(path, err=True) if as_json else tell(path)


def _summaries(found: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    levels = {"p5": 0.05, "median": 0.5, "p95": 0.95}
    return {
        name: {"mean": float(value.mean()), "std": float(value.std())}
        | {key: float(value.double().quantile(level)) for key, level in levels.items()}
        for name, value in found.items()
    }
