"""How training looks while it goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kdbench.cells import title
from kdbench.hookspecs import hookimpl
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.records import Epoch, Record

#: On anything but a terminal a run reports an epoch at most this often, in seconds.
PLAIN_SECONDS = 30.0


class LiveProgress:
    """An observer: one bar for all epochs that are left, one line for each run in training."""

    def __init__(self, console: Console, epochs: int, registry: Registry):
        self._console = console
        self._registry = registry
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[accuracy]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._total = self._progress.add_task("all epochs", total=epochs, accuracy="")
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> LiveProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @hookimpl
    def kdbench_run_started(self, run: Run) -> None:
        self._tasks[run.id] = self._progress.add_task(title(run, self._registry), total=run.recipe.epochs, accuracy="")

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        accuracy = f"{epoch.test_top1:.2f} %" if epoch.test_top1 is not None else f"loss {epoch.loss:.3f}"
        self._progress.update(self._tasks[run.id], completed=epoch.epoch, accuracy=accuracy)
        self._progress.advance(self._total)

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        task = self._tasks.pop(run.id, None)
        if task is not None:
            self._progress.remove_task(task)
        self._console.print(ending(title(run, self._registry), record))


class PlainProgress:
    """An observer that prints a line when a run ends, and now and then the epoch of a long one."""

    def __init__(self, console: Console, epochs: int, registry: Registry):
        self._console = console
        self._registry = registry
        self._left = self._total = epochs
        self._began = self._said = time.monotonic()

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to undo."""

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        self._left -= 1
        now = time.monotonic()
        if now - self._said >= PLAIN_SECONDS:
            self._said = now
            accuracy = f"test accuracy {epoch.test_top1:.2f} %, " if epoch.test_top1 is not None else ""
            left = (now - self._began) / max(self._total - self._left, 1) * self._left
            self._console.print(
                f"{title(run, self._registry)}: epoch {epoch.epoch}/{run.recipe.epochs}, {accuracy}"
                f"about {left / 60:.0f} min left"
            )

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        self._console.print(ending(title(run, self._registry), record))


def ending(name: str, record: Record) -> str:
    """One line on how the run called `name` ended."""
    if record.failure:
        return f"{name}: {record.status} in epoch {record.failure.epoch}: {record.failure.reason}"
    seconds = f"{record.cost.train_seconds:.1f} s" if record.cost else ""
    if record.run.role == "pre_stage":
        return f"{name}: loss {record.curve[-1].loss:.3f}, {seconds}"
    return f"{name}: {record.top1_last:.2f} % (best {record.top1_best:.2f} %), {seconds}"
