"""`kdbench check`: has an accuracy got worse than the baseline's?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdbench.cli import options
from kdbench.cli.options import RESULTS
from kdbench.cli.terminal import tell
from kdbench.gate.margin import checked_margin
from kdbench.inputs import paths

if TYPE_CHECKING:
    from kdbench.gate.rerun import Bench


def check(
    baseline: Annotated[
        Path,
        typer.Option(
            "--baseline", parser=paths.file, metavar="FILE", help="A file that `kdbench baseline save` wrote."
        ),
    ],
    margin: Annotated[
        float | None,
        typer.Option(
            callback=checked_margin, help="Points, from 0, by which a cell may get worse; else the baseline's own."
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Probability of a false alarm, and of a false pass.")
    ] = 0.05,
    allow_undecided: Annotated[
        bool, typer.Option("--allow-undecided", help="Exit 0, not 3, where these seeds cannot tell.")
    ] = False,
    no_run: Annotated[bool, typer.Option("--no-run", help="Train nothing; judge the runs that are there.")] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", parser=paths.new_file, metavar="FILE", help="Write JUnit XML there.")
    ] = None,
    as_json: options.JsonOption = False,
    seeds: Annotated[str, typer.Option("--seeds", help="Other seeds than the baseline's, such as 3,4,5.")] = "",
    dataset: Annotated[str, typer.Option("--dataset", help="Where the baseline's data are, as parquet:DIR.")] = "",
    data_dir: options.DataDirOption = None,
    device: options.DevicesOption = "auto",
    results: options.ResultsOption = RESULTS,
    plugin: options.PluginOption = None,
    teacher: options.TeacherOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes for small cohorts on a CPU; 0: as many as cores.")] = 0,
) -> None:
    """Train what the results folder lacks of a baseline's runs, and compare cell by cell.

    Exits 0 if no cell is worse than the margin allows, 1 if one is (or is missing, failed or diverged), 3 if none is
    but these seeds cannot tell for all, 2 for a mistake in the call. docs/statistics.md says how it is decided.
    """
    from kdbench.cli.reading import describe_stale, existing_store
    from kdbench.cli.values import imported_teachers, registry_with, seeds_of
    from kdbench.gate.baseline import read_baseline
    from kdbench.gate.check import check as judge_records
    from kdbench.gate.junit import junit as as_junit
    from kdbench.gate.rerun import open_bench
    from kdbench.gate.text import text
    from kdbench.store.files import write_atomically

    registry = registry_with(plugin)
    imported = imported_teachers(teacher or [], registry)
    bench = open_bench(
        read_baseline(baseline),
        registry,
        results,
        seeds=seeds_of(seeds),
        dataset=dataset or None,
        data_dir=data_dir,
        imported=[(architecture, digest) for architecture, (digest, _) in imported.items()],
    )
    if no_run:
        existing_store(results)
        if stale := bench.plan.stale:
            typer.echo(f"kdbench: warning: {describe_stale(stale)}: judged as they are.", err=True)
    else:
        _train(bench, device, workers, plugin or [], dict(imported.values()))
    report = judge_records(bench, margin=margin, alpha=alpha)
    tell(json.dumps(report.as_json(), indent=1, ensure_ascii=False) if as_json else text(report))
    if junit:
        write_atomically(junit, as_junit(report))
    raise typer.Exit(report.exit_code(allow_undecided=allow_undecided))


def _train(bench: Bench, device: str, workers: int, plugins: list[Path], imported: dict[str, Path]) -> None:
    """Train what is lacking, with progress on standard error; after an interruption nothing is judged."""
    from kdbench.cli.console import Terminal
    from kdbench.cli.planned import situation
    from kdbench.cli.progress import display
    from kdbench.data.told import told
    from kdbench.environment.gpus import chosen_gpus, device_of
    from kdbench.execution.interrupt import StopSignal
    from kdbench.execution.options import Options
    from kdbench.execution.schedule import Summary
    from kdbench.gate.rerun import refuse_stale, train
    from kdbench.inputs.commands import command_line

    refuse_stale(bench)
    plan = bench.plan
    if not plan.pending:
        return
    gpus = tuple(chosen_gpus(device))
    how = Options(
        device=device_of(gpus),
        gpus=gpus,
        workers=workers,
        command=command_line(),
        plugin_files=tuple(plugins),
        imported=imported,
    )
    say = Terminal(stderr=True)
    for line in told(bench.data.loaded):
        say.print(line)
    say.print(situation(plan))
    shown = display(say, plan.to_train, bench.store, bench.registry, bench.expansion.info)
    stop = StopSignal()
    summary = Summary()
    with stop, shown, bench.registry.observing(shown):
        summary = train(bench, plan, how, stop.requested)
    for sentence in summary.skipped:
        say.print(sentence)
    if summary.interrupted:
        say.print(f"Stopped; nothing was judged. To go on: {command_line()}")
        raise typer.Exit(stop.exit_code)
