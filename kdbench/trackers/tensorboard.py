"""TensorBoard: one log folder a run."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from kdbench.hookspecs import hookimpl
from kdbench.run import Run
from kdbench.store.records import Epoch, Record
from kdbench.trackers.values import metrics


class TensorBoardTracker:
    """Writes event files to `RUN_ID/`; `tensorboard --logdir` of the folder above shows all runs together."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    @hookimpl
    def kdbench_run_started(self, run: Run) -> None:
        writer = SummaryWriter(str(self._folder / run.id))
        writer.add_text("run", run.title)
        self._writers[run.id] = writer

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        for name, value in metrics(epoch).items():
            self._writers[run.id].add_scalar(name, value, epoch.epoch)

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        # A run that could not even be built ends without having started.
        writer = self._writers.pop(run.id, None)
        if writer:
            writer.close()
