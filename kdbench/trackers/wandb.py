"""Weights & Biases: one W&B run a run, in the project `kdbench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import wandb

from kdbench.hookspecs import hookimpl
from kdbench.run import Run
from kdbench.store.records import Epoch, Record
from kdbench.trackers.values import metrics, settings

PROJECT = "kdbench"


class WandbTracker:
    """Logs to W&B, or to the given folder with `WANDB_MODE=offline`. A continued run goes on under the same id."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._runs: dict[str, Any] = {}

    @hookimpl
    def kdbench_run_started(self, run: Run) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._runs[run.id] = wandb.init(
            project=PROJECT,
            id=run.id,
            name=run.title,
            group=f"{run.dataset} {run.student}",
            config=settings(run),
            dir=self._folder,
            resume="allow",
            # The runs of a cohort train side by side.
            reinit="create_new",
        )

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        self._runs[run.id].log(metrics(epoch), step=epoch.epoch)

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        # A run that could not even be built ends without having started.
        started = self._runs.pop(run.id, None)
        if started:
            started.finish(exit_code=0 if record.status == "done" else 1)
