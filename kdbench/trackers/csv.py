"""A CSV file a run, a row an epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TextIO

from kdbench.hookspecs import hookimpl
from kdbench.run import Run
from kdbench.store.records import Epoch, Record
from kdbench.trackers.values import metrics


class CsvTracker:
    """Writes `RUN_ID.csv` while the run trains, and once more from its record when it ends.

    The record holds each epoch once, also those from before an interruption.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        path = self._path(run)
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="") as file:
            _write(file, [epoch], header=new)

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        if record.curve:
            with self._path(run).open("w", newline="") as file:
                _write(file, list(record.curve), header=True)

    def _path(self, run: Run) -> Path:
        return self._folder / f"{run.id}.csv"


def _write(file: TextIO, epochs: list[Epoch], *, header: bool) -> None:
    rows = [{"epoch": epoch.epoch} | metrics(epoch) for epoch in epochs]
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
