"""`kdbench run`: train what a grid still lacks, then print its tables."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kdbench.cli import options
from kdbench.cli.session import Session, with_session
from kdbench.execution.deadline import Deadline
from kdbench.execution.options import CHECKPOINT_SECONDS, Options
from kdbench.inputs.commands import command_line
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.cli.executors import Where


@with_session
def run(
    session: Session,
    device: options.DevicesOption = "auto",
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Processes that train cohorts side by side; 0: as many as cores, on each GPU as are measured best.",
        ),
    ] = 0,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Write a checkpoint at the end of an epoch if the last is so old.")
    ] = CHECKPOINT_SECONDS,
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
    time_limit: Annotated[
        Deadline | None,
        typer.Option(
            "--for",
            parser=Deadline,
            metavar="TIME",
            help="Stop by itself after 30s, 8m or 1h30m, counted from the start, with everything kept.",
        ),
    ] = None,
    executor: Annotated[
        Literal["local", "ray"],
        typer.Option("--executor", help="local: this machine; ray: all machines of a Ray cluster."),
    ] = "local",
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="The Ray cluster; auto is this machine's.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; touch nothing.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Train the runs of a grid that are not done yet, teachers first, and print the grid's tables.

    Give the same command again after an interruption: finished runs are skipped, unfinished ones go on.
    """
    from kdbench.cli.planned import print_plan
    from kdbench.cli.reading import plan_of
    from kdbench.cli.training import train_grid
    from kdbench.cli.values import parse_concurrency
    from kdbench.trackers import find_tracker

    lanes = parse_concurrency(concurrency)
    if rerun and keep:
        raise UserError("--rerun stale and --keep stale exclude each other; give one of them.")
    for name in tracker or []:
        find_tracker(name)
    if address and executor == "local":
        raise UserError("--address names a Ray cluster; give --executor ray as well, or leave it out.")
    # These two are always there, and what is finished takes no device, nor the import of PyTorch.
    if device not in ("auto", "cpu") and executor == "local":
        from kdbench.environment.gpus import chosen_gpus

        chosen_gpus(device)

    def open_where() -> AbstractContextManager[Where]:
        from kdbench.cli.executors import open_executor

        return open_executor(session, executor, address or "auto", device, workers)

    if dry_run:
        with open_where() as where:
            print_plan(session, plan_of(session), where, as_json)
        return

    def options_now(where: Where) -> Options:
        return Options(
            device=where.device,
            gpus=where.gpus,
            workers=workers,
            checkpoint_seconds=checkpoint_seconds,
            command=command_line(),
            plugin_files=session.plugin_files,
            imported=session.imported,
            keep_final=keep_final,
            lanes=lanes,
            deterministic=deterministic,
        )

    train_grid(
        session,
        open_where,
        options_now,
        rerun=rerun,
        keep=keep,
        deadline=time_limit,
        max_failures=1 if fail_fast else max_failures,
        trackers=tracker or [],
        as_json=as_json,
    )
