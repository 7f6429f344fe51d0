"""What begins when, by an executor that trains nothing."""

import pytest

from kdbench.execution.options import Options
from kdbench.execution.plan import make_plan
from kdbench.execution.schedule import execute
from kdbench.execution.staleness import Present
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from tests.execution.stand_ins import StandIn
from tests.training.support import CPU, noise_dataset, runs

REGISTRY, DATA = load_plugins(), noise_dataset()
#: Of two teachers, of which the first is the larger.
TWO = [run for pair in ("resnet20:resnet8", "resnet14:resnet8") for run in runs("kd", "at", pair=pair)]


@pytest.fixture
def carry_out(tmp_path):
    """`carry_out(runs, …)`: the summary and the jobs in the order in which they began, by role, teacher and size."""

    def carried_out(group, stop_requested=lambda: False, **how):
        store = Store(tmp_path)
        executor = StandIn(store, **how)
        plan = make_plan(group, store, Present(REGISTRY))
        summary = execute(plan, store, REGISTRY, DATA, Options(CPU), stop_requested, make_executor=lambda *_: executor)
        return summary, [kind(job) for job in executor.begun]

    def kind(job):
        first = job.runs[0]
        return (
            job.role,
            first.student if job.role == "teacher" else first.teacher and first.teacher.architecture,
            len(job.runs),
        )

    return carried_out


def test_a_teacher_s_students_begin_when_that_teacher_is_done(carry_out):
    summary, begun = carry_out(TWO, workers=2)
    # The first teacher has ended when its students begin, and the second has not.
    assert begun == [
        ("teacher", "resnet20", 1),
        ("teacher", "resnet14", 1),
        ("student", "resnet20", 2),
        ("student", "resnet14", 2),
    ]
    assert summary.count("done") == 6


def test_a_cohort_begins_when_all_its_members_can(carry_out):
    _, begun = carry_out(runs("kd", "mtkd_ssr"), workers=3)
    assert begun == [("teacher", "resnet14", 1), ("pre_stage", "resnet14", 1), ("student", "resnet14", 2)]


def test_what_rests_on_a_failure_is_not_begun_and_says_why(carry_out):
    summary, begun = carry_out(TWO, script=lambda job: "failed" if job.runs[0].student == "resnet14" else "done")
    assert [kind for kind in begun if kind[1] == "resnet14"] == [("teacher", "resnet14", 1)]
    assert [sentence.partition(": ")[0] for sentence in summary.skipped] == [run.title for run in TWO[2:]]


def test_a_lost_job_goes_on_whole_and_then_in_halves(carry_out):
    lost = iter(["done", "lost", "lost"])
    summary, begun = carry_out(runs("kd", "at", "sp"), script=lambda job: next(lost, "done"))
    assert [size for _, _, size in begun] == [1, 3, 3, 1, 1, 1]
    assert summary.count("done") == 4


def test_a_stop_begins_nothing_more(carry_out):
    asked = iter([False, True])
    summary, begun = carry_out(TWO, lambda: next(asked, True), workers=1)
    assert summary.interrupted and begun == [("teacher", "resnet20", 1)]
    summary, _ = carry_out(TWO)
    assert summary.count("done") == 5
