"""MLflow: one MLflow run a run, in the experiment `kdbench`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from kdbench.hookspecs import hookimpl
from kdbench.run import Run
from kdbench.store.records import Epoch, Record
from kdbench.trackers.values import metrics, settings

EXPERIMENT = "kdbench"


class MlflowTracker:
    """Logs to `MLFLOW_TRACKING_URI`, or to a file store in the given folder where that is not set.

    A continued run goes on in the MLflow run that bears its id as a tag.
    """

    def __init__(self, folder: Path):
        address = os.environ.get("MLFLOW_TRACKING_URI")
        if not address:
            # MLflow 3 reads and writes files only for those who say that they want them.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            address = folder.resolve().as_uri()
        self._client = MlflowClient(address)
        found = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        self._ids: dict[str, str] = {}

    @hookimpl
    def kdbench_run_started(self, run: Run) -> None:
        same = self._client.search_runs([self._experiment], f"tags.kdbench_run = '{run.id}'", max_results=1)
        if same:
            self._ids[run.id] = same[0].info.run_id
            self._client.update_run(self._ids[run.id], status="RUNNING")
            return
        made = self._client.create_run(self._experiment, run_name=run.title, tags={"kdbench_run": run.id})
        self._ids[run.id] = made.info.run_id
        params = [Param(name, str(value)) for name, value in settings(run).items()]
        self._client.log_batch(made.info.run_id, params=params)

    @hookimpl
    def kdbench_epoch_ended(self, run: Run, epoch: Epoch) -> None:
        now = int(time.time() * 1000)
        # MLflow's names know no caret.
        found = [Metric(name.replace("^", "."), v, now, epoch.epoch) for name, v in metrics(epoch).items()]
        self._client.log_batch(self._ids[run.id], metrics=found)

    @hookimpl
    def kdbench_run_ended(self, run: Run, record: Record) -> None:
        # A run that could not even be built ends without having started.
        if run.id in self._ids:
            status = "FINISHED" if record.status == "done" else "FAILED"
            self._client.set_terminated(self._ids.pop(run.id), status)
