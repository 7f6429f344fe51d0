"""The local executor beside other processes, which may finish what its plan still counts as left."""

import itertools
import math
import shutil

import pytest

from kdbench.execution import schedule, trainer
from kdbench.execution.options import Options
from kdbench.execution.plan import make_plan
from kdbench.execution.schedule import execute
from kdbench.execution.staleness import Present
from kdbench.store.claims import Claims
from kdbench.store.records import Failure
from kdbench.store.store import Store
from tests.training.support import CPU, RECIPE, light_runs, noise_dataset, outcome, registered, train, train_interrupted

RUNS = light_runs("kd", recipe=RECIPE.model_copy(update={"epochs": 1, "max_steps": 1}))


@pytest.fixture
def at_hand(tmp_path):
    """(plan of what a folder of results lacks now, what executes a plan on it)."""
    registry, store, dataset = registered(), Store(tmp_path), noise_dataset()
    options = Options(CPU, workers=1, checkpoint_seconds=0)

    def carry_out(plan, say=lambda sentence: None):
        return execute(plan, store, registry, dataset, options, say=say)

    return lambda: make_plan(RUNS, store, Present(registry)), carry_out


def broken(*_):
    raise ArithmeticError("mended soon")


def test_what_another_process_finished_since_the_plan_was_made_is_not_trained_again(at_hand):
    plan, carry_out = at_hand
    before = plan()
    first = carry_out(plan())
    assert [*first.records] == [run.id for run in (*before.teachers, *before.pending)]
    second = carry_out(before)
    assert (second.records, second.others, second.skipped) == ({}, first.records, [])


def test_a_claim_that_is_not_listed_yet_is_waited_for(at_hand, monkeypatch):
    plan, carry_out = at_hand
    tried = []

    def refused(_, run_ids):
        tried.append(list(run_ids))
        assert len(tried) < 3
        return []

    monkeypatch.setattr(Claims, "take", refused)
    monkeypatch.setattr(schedule._Execution, "_wait", lambda _: monkeypatch.undo())
    assert [*carry_out(plan()).records.values()] == ["done", "done"]


def test_who_is_waited_for_is_said_once(at_hand, monkeypatch):
    plan, carry_out = at_hand
    said, waits = [], []

    def wait(_):
        waits.append(1)
        if len(waits) == 3:
            monkeypatch.undo()

    monkeypatch.setattr(Claims, "owners", lambda _, run_ids: dict.fromkeys(run_ids, "process 7 on elsewhere"))
    monkeypatch.setattr(schedule._Execution, "_wait", wait)
    assert [*carry_out(plan(), said.append).records.values()] == ["done", "done"]
    assert said == ["waiting for process 7 on elsewhere to train or leave 2 runs"] and len(waits) == 3


def test_what_failed_before_is_tried_again_once(at_hand, monkeypatch):
    plan, carry_out = at_hand

    with monkeypatch.context() as patch:
        patch.setattr("kdbench.training.member.Member.__init__", broken)
        assert [*carry_out(plan()).records.values()] == ["failed"]  # the teacher's; no student begins
        assert [*carry_out(plan()).records.values()] == ["failed"]
    assert [*carry_out(plan()).records.values()] == ["done", "done"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_failed_teacher_may_be_trained_by_another_process_while_its_student_is_given_up(at_hand, monkeypatch, at):
    plan, carry_out = at_hand
    looks, look = itertools.count(1), Store.record

    def looked_for(store, run_id):
        record = look(store, run_id)
        if record is None or record.status != "failed" or next(looks) != at:
            return record
        monkeypatch.undo()
        assert [*carry_out(plan()).records.values()] == ["done", "done"]
        return look(store, run_id)

    monkeypatch.setattr("kdbench.training.member.Member.__init__", broken)
    monkeypatch.setattr(Store, "record", looked_for)
    summary = carry_out(plan())
    assert [*summary.records.values()] == ["failed"]
    assert len(summary.skipped) + len(summary.others) == 1


def test_what_failed_after_an_epoch_that_was_no_number_is_tried_again(at_hand, tmp_path):
    plan, carry_out = at_hand
    carry_out(plan())
    (record,) = (record for record in Store(tmp_path).find().records.values() if record.run.role == "student")
    curve = (record.curve[0].model_copy(update={"test_loss": math.nan}),)
    failed = {"status": "failed", "failure": Failure(reason="mended soon", epoch=2), "curve": curve}
    Store(tmp_path).write(record.model_copy(update=failed))
    again = carry_out(plan())
    assert ([*again.records.values()], again.others) == (["done"], {})


def test_what_was_taken_over_and_finished_is_not_overwritten_by_a_failure(at_hand, tmp_path, monkeypatch):
    plan, carry_out = at_hand

    def after_a_pause(*_):
        monkeypatch.undo()
        train(tmp_path, RUNS)
        raise ArithmeticError("the device is gone")

    monkeypatch.setattr("kdbench.training.member.Member.__init__", after_a_pause)
    assert [*carry_out(plan()).records.values()] == ["failed"]
    assert {record.status for record in Store(tmp_path).find().records.values()} == {"done"} and not plan().pending


@pytest.mark.parametrize("method", ["kd", "dskd"])
def test_a_run_that_is_brought_further_while_its_cohort_is_put_together_misses_no_batch(tmp_path, monkeypatch, method):
    group, before, after = light_runs("kd", "dskd"), tmp_path / "before", tmp_path / "after"
    expected = train(tmp_path / "unbroken", group)
    train_interrupted(before, group, stop_after=1)
    shutil.copytree(before, after)
    train_interrupted(after, group, stop_after=2)

    def written_meanwhile(*given):
        # As by a worker that ends its last batch after its parent was killed.
        together = cohorts(*given)
        run = next(run for run in group if run.method == method)
        shutil.copy(Store(after).checkpoint_path(run.id), Store(before).checkpoint_path(run.id))
        return together

    cohorts = trainer.cohorts
    monkeypatch.setattr(trainer, "cohorts", written_meanwhile)
    ended = train(before, group)
    assert {name: outcome(record) for name, record in ended.items()} == {
        name: outcome(record) for name, record in expected.items()
    }
