"""What `kdbench run` does: plan, train, print the tables and write the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kdbench.cli.console import Terminal
from kdbench.cli.planned import resolved, situation
from kdbench.cli.reading import describe_stale, plan_of, readable_records
from kdbench.cli.report import write_report
from kdbench.cli.session import Session
from kdbench.cli.terminal import screen_width, tell
from kdbench.data.told import told
from kdbench.execution.deadline import Deadline
from kdbench.execution.interrupt import FailureLimit, StopSignal
from kdbench.execution.plan import Plan
from kdbench.inputs.commands import command_line
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted
from kdbench.report.formats import render
from kdbench.report.results import cell_results
from kdbench.store.records import Damaged, Record, dump_record
from kdbench.store.store import Store
from kdbench.trackers import make_tracker

if TYPE_CHECKING:
    import torch

    from kdbench.cli.executors import Where
    from kdbench.data.streamed import AnyDataset
    from kdbench.execution.options import Options
    from kdbench.execution.schedule import Summary


def train_grid(
    session: Session,
    open_where: Callable[[], AbstractContextManager[Where]],
    make_options: Callable[[Where], Options],
    *,
    rerun: str | None,
    keep: str | None,
    deadline: Deadline | None,
    max_failures: int | None,
    trackers: Sequence[str],
    as_json: bool,
) -> None:
    """Train what the grid lacks, where and by options that are made if it lacks anything, and print its tables.

    Raises `UserError` for stale results of which it is not decided what becomes of them, and `typer.Exit` with the exit
    code of a training that was stopped or had failures.
    """
    say = Terminal(stderr=as_json)
    # What keeps the tables from being read is said before training, not after it.
    session.store.find()
    data_sha256 = session.data.info.checksum
    if data_sha256 is None and session.data.available:
        data_sha256 = session.data.loaded.checksum
    plan = _sound_plan(session, data_sha256, rerun, keep, say)
    say.print(situation(plan))
    stop, limit = StopSignal(), FailureLimit(max_failures)
    summary: Summary | None = None

    def stop_requested() -> bool:
        return stop.requested() or limit.reached() or (deadline is not None and deadline.reached())

    observers = [make_tracker(name, session.store.root) for name in trackers]
    if plan.pending:
        with open_where() as where:
            where.prepare(plan)
            loaded = session.data.loaded
            with stop, session.registry.observing(limit, *observers):
                summary = _train(session, plan, loaded, make_options(where), where, stop_requested, say)
    records = readable_records(session, keep == "stale")
    results = cell_results(session.expansion, records, session.registry)
    tell(render(session.expansion, results, "json" if as_json else "text", width=screen_width()))
    if not (summary and summary.interrupted):
        page = session.store.root / f"report-{session.expansion.grid.name}.html"
        if plan.pending or _outdated(page, session.store):
            write_report(session, records, page, command_line())
        say.print(f"report: {page}")
    if summary:
        _conclude(summary, stop, limit, deadline, say)


def _train(
    session: Session,
    plan: Plan,
    dataset: AnyDataset,
    how: Options,
    where: Where,
    stop_requested: Callable[[], bool],
    say: Terminal,
) -> Summary:
    """Say what will be done, refuse what cannot be, and do it under a display of its progress."""
    import torch

    from kdbench.cli.progress import display
    from kdbench.execution.footprint import Footprint
    from kdbench.execution.schedule import execute
    from kdbench.execution.space import check_room
    from kdbench.execution.teachers import TeacherShelf

    for line in (*told(dataset), *resolved(session, plan, where)):
        say.print(line)
    say.print(f"device: {where.described}; {exactness(how.device, how.deterministic)}")
    shelf = TeacherShelf(session.store, session.registry, dataset, torch.device("cpu"), how.imported)
    shelf.check_imported(plan.pending)
    footprint = Footprint(session.registry, session.expansion.info)
    check_room(plan, session.store, footprint, how.workers or torch.get_num_threads())
    shown = display(say, plan.to_train, session.store, session.registry, session.expansion.info)
    with shown, session.registry.observing(shown):
        make = where.executor_of(plan)
        return execute(plan, session.store, session.registry, dataset, how, stop_requested, say.print, make)


def exactness(device: torch.device, deterministic: bool) -> str:
    """Whether the same run gives the same bits again, alone and in any cohort."""
    if device.type == "cpu" or deterministic:
        return "bit-exact"
    return "fast mode, equal in distribution but not bit-exact (--deterministic is)"


def _sound_plan(session: Session, data_sha256: str | None, rerun: str | None, keep: str | None, say: Terminal) -> Plan:
    """The plan, once damaged records are set aside and it is decided what becomes of stale results."""
    plan = plan_of(session, data_sha256)
    # Another process that was given the command may have set some aside, and trained them again, since then.
    for planned in plan.damaged:
        try:
            session.store.record(planned.path.stem)
        except Damaged as damage:
            place = session.store.set_aside(damage.path, "damaged")
            say.print(f"{damage.path} is damaged ({damage.problem}): set aside as {place}, its run is trained again.")
    if plan.stale and not keep:
        if not rerun:
            raise UserError(
                f"{describe_stale(plan.stale)}; give --rerun stale to train them again (the old are set aside), or "
                "--keep stale to use them as they are."
            )
        say.print(f"{describe_stale(plan.stale)}: set aside in {session.store.root / 'replaced'}, trained again.")
        # Teachers come last: without one its students, if this ends in between, would no more be known to be stale.
        for run_id in reversed(plan.stale):
            if _as_planned(session.store.record(run_id), plan.records.get(run_id)):
                session.store.start_anew(run_id)
    return plan_of(session, data_sha256) if plan.damaged or plan.stale else plan


def _as_planned(record: Record | None, planned: Record | None) -> bool:
    """Whether a run has no other result than when the plan was made: another process may have trained it again."""
    if record is None or record.status == "failed":
        return planned is None
    return planned is not None and dump_record(record) == dump_record(planned)


def _outdated(page: Path, store: Store) -> bool:
    """Whether records came after the page, or there is none: who trained them may have ended before it was written."""
    records = store.records
    return not page.exists() or (records.exists() and page.stat().st_mtime < records.stat().st_mtime)


def _conclude(
    summary: Summary, stop: StopSignal, limit: FailureLimit, deadline: Deadline | None, say: Terminal
) -> None:
    for sentence in summary.skipped:
        say.print(sentence)
    if summary.interrupted:
        why, code = _cut_short(stop, limit, deadline)
        kept = "what is finished is kept and the rest goes on where it was"
        say.print(f"Stopped{why}; {kept}. To go on: {command_line()}")
        raise typer.Exit(code)
    if summary.others:
        say.print(f"{counted(len(summary.others), 'run')} trained by other processes.")
    if summary.count("diverged"):
        say.print(
            f"{counted(summary.count('diverged'), 'run')} diverged: a result, which tables mark; its record says where."
        )
    if summary.count("failed") or summary.skipped:
        failed = counted(summary.count("failed"), "run")
        say.print(f"{failed} failed, {len(summary.skipped)} not run; see above and the records.")
        raise typer.Exit(1)


def _cut_short(stop: StopSignal, limit: FailureLimit, deadline: Deadline | None) -> tuple[str, int]:
    """After what training ended before its end, in words, and the exit code that says so."""
    if stop.requested():
        return "", stop.exit_code
    if limit.reached() or deadline is None:
        return f" after {counted(limit.failed, 'failed run')}", 1
    return f" after {deadline.text}", int(limit.failed > 0)
