"""Trackers fed with a run's events; those whose library is missing are skipped."""

import csv
import logging
import time

import pytest

from kdbench.hookspecs import hookimpl
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.trackers import TRACKERS, make_tracker
from kdbench.trackers.values import metrics, settings
from tests.cli.support import kdbench
from tests.report.fabricate import expansion_of, fabricate


@pytest.fixture(scope="module")
def record():
    expansion = expansion_of("quick", methods=("dskd",), pairs=("resnet20:resnet8",), seeds=(0,), recipe={"epochs": 3})
    return fabricate(expansion)[expansion.cells[0].runs[0].id]


def feed(tracker, record, *, first=1):
    """The events of a run, or of its continuation from epoch `first`."""
    registry = load_plugins()
    with registry.observing(tracker):
        registry.notify("kdbench_run_started", run=record.run)
        for epoch in record.curve[first - 1 :]:
            registry.notify("kdbench_epoch_ended", run=record.run, epoch=epoch)
        registry.notify("kdbench_run_ended", run=record.run, record=record)


def made(name, folder):
    try:
        return make_tracker(name, folder)
    except UserError as error:
        pytest.skip(str(error))


def no_warnings(caplog):
    return [entry.message for entry in caplog.records if "observer" in entry.message] == []


def test_csv_has_a_row_an_epoch_also_after_an_interruption(tmp_path, record, caplog):
    tracker = make_tracker("csv", tmp_path)
    for epoch in record.curve[:2]:
        tracker.kdbench_epoch_ended(record.run, epoch)
    feed(make_tracker("csv", tmp_path), record, first=2)
    rows = list(csv.DictReader((tmp_path / "trackers" / "csv" / f"{record.id}.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert float(rows[-1]["test_top1"]) == record.top1_last and float(rows[0]["terms/ce"]) > 0
    assert no_warnings(caplog)


def test_tensorboard_holds_every_scalar(tmp_path, record, caplog):
    feed(made("tensorboard", tmp_path), record)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path / "trackers" / "tensorboard" / record.id)).Reload()
    assert set(metrics(record.curve[0])) <= set(found.Tags()["scalars"])
    events = found.Scalars("test_top1")
    assert [event.step for event in events] == [1, 2, 3]
    assert events[-1].value == pytest.approx(record.top1_last)
    assert no_warnings(caplog)


def test_mlflow_holds_settings_and_metrics_and_goes_on_in_the_same_run(tmp_path, record, caplog, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = made("mlflow", tmp_path)
    feed(tracker, record)
    feed(made("mlflow", tmp_path), record, first=3)
    from mlflow import MlflowClient

    client = MlflowClient((tmp_path / "trackers" / "mlflow").resolve().as_uri())
    experiment = client.get_experiment_by_name("kdbench")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["method"] == record.run.method
    assert run.data.metrics["test_top1"] == pytest.approx(record.top1_last)
    assert {metric.step for metric in client.get_metric_history(run.info.run_id, "loss")} == {1, 2, 3}
    assert no_warnings(caplog)


def test_wandb_writes_offline(tmp_path, record, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "3600")
    feed(made("wandb", tmp_path), record)
    (file,) = (tmp_path / "trackers" / "wandb").rglob(f"*{record.id}.wandb")
    # A process of wandb's writes it, which older versions do not wait for.
    while not file.stat().st_size:
        time.sleep(0.05)
    assert no_warnings(caplog)


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_run_that_could_not_be_built_ends_without_having_started(tmp_path, record, name, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "offline")
    registry = load_plugins()
    with registry.observing(made(name, tmp_path)):
        unborn = record.model_copy(update={"curve": (), "status": "failed"})
        registry.notify("kdbench_run_ended", run=record.run, record=unborn)
    assert no_warnings(caplog)


def test_a_tracker_that_fails_is_reported_once_and_stops_nothing(record, caplog):
    class Broken:
        @hookimpl
        def kdbench_epoch_ended(self, run, epoch):
            raise OSError("the disk is full")

    with caplog.at_level(logging.WARNING):
        feed(Broken(), record)
    assert sum("the disk is full" in entry.message for entry in caplog.records) == 1


def test_an_unknown_tracker_is_refused(tmp_path):
    with pytest.raises(UserError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        make_tracker("tensorbord", tmp_path)
    dry = kdbench("run", "--grid", "quick", "--tracker", "tensorbord", "--dry-run")
    assert dry.code == 2 and dry.out == "" and "unknown tracker 'tensorbord'" in dry.err


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(TRACKERS, "wandb", ("kdbench.trackers.none_such", "Tracker"))
    with pytest.raises(UserError, match=r"pip install 'kdbench\[wandb\]'"):
        make_tracker("wandb", tmp_path)


def test_a_tracker_that_cannot_start_is_a_sentence(tmp_path):
    (tmp_path / "trackers").write_text("a file where a folder must be")
    made("mlflow", tmp_path / "elsewhere")
    with pytest.raises(UserError, match="tracker 'mlflow' could not start"):
        make_tracker("mlflow", tmp_path)


def test_settings_are_flat(record):
    found = settings(record.run)
    assert found["method"] == record.run.method and found["recipe.epochs"] == 3 and "params.beta" in found
