"""`kdbench run`: train what a grid still lacks, then print its tables."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console

from kdbench.cli import options
from kdbench.cli.progress import LiveProgress, PlainProgress
from kdbench.cli.reading import describe_stale, plan_of, readable_records
from kdbench.cli.report import write_report
from kdbench.cli.session import Session, with_session
from kdbench.environment import command_line, describe_device, resolve_device
from kdbench.errors import UserError
from kdbench.execution.estimate import Estimator, measured_rate
from kdbench.execution.footprint import Footprint
from kdbench.execution.interrupt import FailureLimit, StopSignal
from kdbench.execution.jobs import Options
from kdbench.execution.local import Summary, execute
from kdbench.execution.plan import Plan, cohorts
from kdbench.execution.space import check_room
from kdbench.report.formats import render
from kdbench.report.results import cell_results
from kdbench.run import Run
from kdbench.trackers import make_tracker


@with_session
def run(
    session: Session,
    device: options.DeviceOption = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that train cohorts side by side; 0: as many as cores, one on a GPU.")
    ] = 0,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Write a checkpoint at the end of an epoch if the last is so old.")
    ] = 60.0,
    keep_final: Annotated[
        bool, typer.Option("--keep-final", help="Keep finished runs' whole state, for `kdbench diagnose`.")
    ] = False,
    tracker: Annotated[
        list[str] | None, typer.Option("--tracker", help="Also log to csv, tensorboard, mlflow or wandb.")
    ] = None,
    concurrency: options.ConcurrencyOption = "auto",
    rerun: Annotated[
        Literal["stale"] | None,
        typer.Option(
            "--rerun", help="stale: train again what other code, data or teachers made; the old is set aside."
        ),
    ] = None,
    keep: options.KeepOption = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failed run.")] = False,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", min=1, help="Stop when so many runs have failed.")
    ] = None,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="On a GPU: the same bits every time.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; touch nothing.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Train the runs of a grid that are not done yet, teachers first, and print the grid's tables.

    Give the same command again after an interruption: finished runs are skipped, unfinished ones go on.
    """
    lanes = options.parse_concurrency(concurrency)
    if rerun and keep:
        raise UserError("--rerun stale and --keep stale exclude each other; give one of them.")
    chosen = resolve_device(device)
    if dry_run:
        _print_plan(session, plan_of(session), device, as_json)
        return
    say = Console(stderr=as_json, soft_wrap=True, highlight=False, markup=False)
    loaded = session.source.load(session.data_dir) if session.source.available(session.data_dir) else None
    plan = _sound_plan(session, loaded.checksum if loaded else None, rerun, keep, say)
    say.print(_situation(plan))
    stop = StopSignal()
    limit = FailureLimit(1 if fail_fast else max_failures)
    summary = Summary()
    trackers = [make_tracker(name, session.store.root) for name in tracker or []]
    if plan.pending:
        for line in _resolved(session, plan):
            say.print(line)
        say.print(f"device: {describe_device(chosen)}; {exactness(chosen, deterministic)}")
        loaded = loaded or session.source.load(session.data_dir)
        footprint = Footprint(session.registry, session.expansion.info)
        check_room(plan, session.store, footprint, workers or torch.get_num_threads())
        work = [*plan.teachers, *plan.pre_stages, *plan.pending]
        epochs = sum(run.recipe.epochs for run in work)
        display = LiveProgress(say, epochs) if say.is_terminal else PlainProgress(say, epochs)
        with stop, display, session.registry.observing(display, limit, *trackers):
            how = Options(
                device=chosen,
                workers=workers,
                checkpoint_seconds=checkpoint_seconds,
                command=command_line(),
                plugin_files=session.plugin_files,
                dataset_spec=session.expansion.grid.dataset,
                data_dir=session.data_dir,
                imported=session.imported,
                keep_final=keep_final,
                lanes=lanes,
                deterministic=deterministic,
            )
            summary = execute(
                plan,
                session.store,
                session.registry,
                loaded,
                how,
                lambda: stop.requested() or limit.reached(),
                say.print,
            )
    _print_results(session, as_json, keep == "stale")
    if not summary.interrupted:
        page = session.store.root / f"report-{session.expansion.grid.name}.html"
        if summary.records or not page.exists():
            write_report(session, page, command_line(), keep_stale=keep == "stale")
        say.print(f"report: {page}")
    _conclude(summary, stop, limit, say)


def exactness(device: torch.device, deterministic: bool) -> str:
    """Whether the same run gives the same bits again, alone and in any cohort."""
    if device.type == "cpu" or deterministic:
        return "bit-exact"
    return "fast mode, equal in distribution but not bit-exact (--deterministic is)"


def _situation(plan: Plan) -> str:
    done = len(plan.runs) - len(plan.pending)
    if not plan.pending:
        return f"Nothing to train: all {len(plan.runs)} runs are finished."
    skipped = f"{done} finished and skipped, " if done else ""
    return (
        f"{len(plan.runs)} runs: {skipped}{len(plan.pending)} to train; "
        f"{len(plan.all_teachers)} teachers, {len(plan.teachers)} to train first."
    )


def _resolved(session: Session, plan: Plan) -> list[str]:
    """The settings that training will use, learning rates looked up, and the memory that methods ask for."""
    grid = session.expansion.grid
    rates: dict[str, list[str]] = {}
    for run in [*plan.teachers, *plan.pending]:
        rates.setdefault(f"{run.recipe.lr:g}", []).append(run.student)
    recipe = grid.recipe.model_dump(exclude={"lr", "lr_by_family"})
    lines = ["recipe: " + ", ".join(f"{key} {value}" for key, value in recipe.items())]
    lines += [f"lr {rate}: {', '.join(dict.fromkeys(names))}" for rate, names in rates.items()]
    memory = {_memory(session, run) for run in plan.pending} - {None}
    return lines + sorted(line for line in memory if line)


def _memory(session: Session, run: Run) -> str | None:
    method = session.registry.method(run.method)
    size = method.memory_bytes(method.Params(**run.params), session.expansion.info.train_size)
    return f"{run.method} keeps {size / 1e6:.1f} MB on the device for each run" if size else None


def _sound_plan(session: Session, data_sha256: str | None, rerun: str | None, keep: str | None, say: Console) -> Plan:
    """The plan, once damaged records are set aside and it is decided what becomes of stale results."""
    plan = plan_of(session, data_sha256)
    for damage in plan.damaged:
        place = session.store.set_aside(damage.path, "damaged")
        say.print(f"{damage.path} is damaged ({damage.problem}): set aside as {place}, its run is trained again.")
    if plan.stale and not keep:
        if not rerun:
            raise UserError(
                f"{describe_stale(plan.stale)}; give --rerun stale to train them again (the old are set aside), or "
                "--keep stale to use them as they are."
            )
        say.print(f"{describe_stale(plan.stale)}: set aside in {session.store.root / 'replaced'}, trained again.")
        for run_id in plan.stale:
            session.store.start_anew(run_id)
    return plan_of(session, data_sha256) if plan.damaged or plan.stale else plan


def _print_results(session: Session, as_json: bool, keep_stale: bool) -> None:
    records = readable_records(session, keep_stale)
    results = cell_results(session.expansion, records, session.registry)
    print(render(session.expansion, results, "json" if as_json else "text"))


def _conclude(summary: Summary, stop: StopSignal, limit: FailureLimit, say: Console) -> None:
    for sentence in summary.skipped:
        say.print(sentence)
    if summary.interrupted:
        command = shlex.join(["kdbench", *sys.argv[1:]])
        why = f" after {limit.failed} failed runs" if limit.reached() else ""
        say.print(f"Stopped{why}; what is finished is kept and the rest goes on where it was. To go on: {command}")
        raise typer.Exit(stop.exit_code if stop.requested() else 1)
    if summary.others:
        say.print(f"{summary.others} runs were trained by other processes.")
    if summary.count("diverged"):
        say.print(
            f"{summary.count('diverged')} runs diverged: a result, which the tables mark; their records say where."
        )
    if summary.count("failed") or summary.skipped:
        say.print(
            f"{summary.count('failed')} runs failed, {len(summary.skipped)} were not run; see above and the records."
        )
        raise typer.Exit(1)


def _print_plan(session: Session, plan: Plan, device: str, as_json: bool) -> None:
    estimator = Estimator(session.registry, session.expansion.info)
    cost = estimator.estimate([*plan.teachers, *plan.pre_stages, *plan.pending])
    chosen = resolve_device(device)
    seconds = cost.shared / measured_rate(chosen) if cost.shared else 0.0
    footprint = Footprint(session.registry, session.expansion.info)
    memory = max((footprint.cohort(group) for group in cohorts(plan.pending, session.store)), default=0)
    if as_json:
        described = {
            "grid": session.expansion.grid.name,
            "dataset": session.expansion.info.name,
            "runs": [_described(run, plan) for run in plan.runs],
            "teachers": [_described(run, plan) for run in plan.all_teachers],
            "done": [run.id for run in plan.runs if run.id in plan.records],
            "flops": cost.shared,
            "flops_without_sharing": cost.alone,
            "seconds": round(seconds, 1),
            "memory_bytes": memory,
            "device": describe_device(chosen),
        }
        print(json.dumps(described, indent=1))
        return
    for run in plan.runs:
        print(f"{run.id}  {plan.records[run.id].status if run.id in plan.records else 'to train':9}  {run.title}")
    for run in plan.all_teachers:
        print(f"{run.id}  {'done' if run.id in plan.records else 'to train':9}  {run.title}")
    for cell in session.expansion.cells:
        if cell.declined:
            print(f"{'':16}  n/a        {cell.row.key} {cell.pair}: {cell.declined}")
    for line in _resolved(session, plan):
        print(line)
    print(_situation(plan))
    print(
        f"{cost.shared:.3g} FLOPs ({cost.alone:.3g} unshared; methods' own modules not counted), "
        f"about {_duration(seconds)} at this machine's measured rate ({describe_device(chosen)})"
    )
    if memory:
        print(f"about {memory / 1e9:.2g} GB for the largest cohort (methods' own modules not counted)")


def _described(run: Run, plan: Plan) -> dict[str, object]:
    return {
        "id": run.id,
        "teacher": run.teacher.architecture if run.teacher else None,
        "student": run.student,
        "method": run.method,
        "params": run.params,
        "recipe": run.recipe.model_dump(mode="json"),
        "seed": run.seed,
        "done": run.id in plan.records,
    }


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
