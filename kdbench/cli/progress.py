"""How training looks while it goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, ConsoleRenderable, RenderHook
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn

from kdbench.cells import title
from kdbench.cli.remaining import Remaining
from kdbench.data.dataset import DatasetInfo
from kdbench.execution.estimate import work_by_epoch
from kdbench.hookspecs import hookimpl
from kdbench.inputs.wording import duration
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.records import Epoch, Record
from kdbench.store.store import Store

#: On anything but a terminal a run reports an epoch at most this often, in seconds.
PLAIN_SECONDS = 30.0
#: Lines for runs in training: each is drawn several times a second.
MOST_ROWS = 8


class LiveProgress(RenderHook):
    """An observer: one bar for all epochs of the runs, one line for each run in training that finds room.

    Epochs that a resumed run has behind it, or that a failed one never reaches, count when that is known.
    """

    def __init__(self, console: Console, registry: Registry, remaining: Remaining):
        self._console = console
        self._registry = registry
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[accuracy]}"),
            console=console,
        )
        self._remaining = remaining
        self._epochs = remaining.epochs
        self._total = self._add("all epochs", self._epochs)
        self._total.fields["accuracy"] = _WhenDrawn(lambda: remaining.said() or "")
        self._rows: dict[str, Task] = {}
        #: How runs have ended since it was drawn, a line each.
        self._ended = deque[str]()

    def __enter__(self) -> LiveProgress:
        self._console.push_render_hook(self)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._console.pop_render_hook()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Print lines above whatever is drawn next: a cohort's members end together, and drawing takes a while."""
        lines = []
        with contextlib.suppress(IndexError):  # it is drawn by several threads
            while True:
                lines.append(self._console.render_str(self._ended.popleft()))
        return [*lines, *renderables]

    @hookimpl
    def kdbench_run_started(self, run: Run) -> None:
        self._remaining.run_started(run)
        self._row(run)

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        if row := self._row(run):
            row.completed = epoch.epoch
            row.fields["accuracy"] = (
                f"{epoch.test_top1:.2f} %" if epoch.test_top1 is not None else f"loss {epoch.loss:.3f}"
            )
        self._remaining.epoch_ended(run, epoch.epoch)
        self._total.completed = self._epochs - self._remaining.epochs

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        if row := self._rows.pop(run.id, None):
            self._progress.remove_task(row.id)
        self._remaining.run_ended(run)
        self._total.completed = self._epochs - self._remaining.epochs
        self._ended.append(_with_remaining(ending(title(run, self._registry), record), self._remaining))

    def _add(self, name: str, epochs: int) -> Task:
        """A bar, which is drawn several times a second and may be told of thousands of epochs in between."""
        self._progress.add_task(name, total=epochs, accuracy="")
        return self._progress.tasks[-1]

    def _row(self, run: Run) -> Task | None:
        """The line of a run in training; None where there are as many as are shown."""
        if run.id not in self._rows and len(self._rows) < MOST_ROWS:
            self._rows[run.id] = self._add(title(run, self._registry), run.recipe.epochs)
        return self._rows.get(run.id)


class _WhenDrawn:
    """A text that is made whenever it is drawn."""

    def __init__(self, make: Callable[[], str]):
        self._make = make

    def __str__(self) -> str:
        return self._make()


class PlainProgress:
    """An observer that prints a line when a run ends, and now and then the epoch of a long one."""

    def __init__(self, console: Console, registry: Registry, remaining: Remaining):
        self._console = console
        self._registry = registry
        self._remaining = remaining
        self._said = time.monotonic()

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to undo."""

    @hookimpl
    def kdbench_run_started(self, run: Run) -> None:
        self._remaining.run_started(run)

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        self._remaining.epoch_ended(run, epoch.epoch)
        now = time.monotonic()
        if now - self._said >= PLAIN_SECONDS:
            self._said = now
            accuracy = f", {epoch.test_top1:.2f} %" if epoch.test_top1 is not None else ""
            line = f"{title(run, self._registry)}: epoch {epoch.epoch} of {run.recipe.epochs}{accuracy}"
            self._console.print(_with_remaining(line, self._remaining))

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        self._remaining.run_ended(run)
        self._console.print(_with_remaining(ending(title(run, self._registry), record), self._remaining))


def display(
    console: Console, runs: Sequence[Run], store: Store, registry: Registry, info: DatasetInfo
) -> LiveProgress | PlainProgress:
    """What shows the training of `runs`, from where the results folder has them."""
    remaining = Remaining(work_by_epoch(runs, store, registry, info), {run.id: run.recipe.epochs for run in runs})
    if console.is_interactive:
        return LiveProgress(console, registry, remaining)
    return PlainProgress(console, registry, remaining)


def _with_remaining(line: str, remaining: Remaining) -> str:
    said = remaining.said()
    return f"{line}; {said}" if said else line


def ending(name: str, record: Record) -> str:
    """One line on how the run called `name` ended."""
    if record.failure:
        return f"{name}: {record.status} in epoch {record.failure.epoch}: {record.failure.reason}"
    # In a cohort the seconds are the run's share: what it took is no more than that.
    took = f", took {duration(record.cost.train_seconds + record.cost.test_seconds)}" if record.cost else ""
    if record.run.role == "pre_stage":
        return f"{name}: loss {record.curve[-1].loss:.3f}{took}"
    return f"{name}: {record.top1_last:.2f} % (best {record.top1_best:.2f} %){took}"
