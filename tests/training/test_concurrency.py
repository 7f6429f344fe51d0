"""The number of lanes is measured once for a kind of device, and measuring leaves no trace."""

import pytest
import torch

from kdbench.inputs.errors import UserError
from kdbench.store import kept
from kdbench.training import concurrency
from kdbench.training.concurrency import fastest, make_step, remembered
from kdbench.training.step import EagerStep, GraphedStep
from tests.training.lanes import FakeLanes
from tests.training.support import CPU
from tests.training.test_step import lockstep


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """Going through all that other tests have left takes longer than these."""
    monkeypatch.setattr(concurrency.gc, "collect", lambda: 0)


@pytest.mark.parametrize(
    ("methods", "expected"), [(["kd", "sp", "at", "pkt", "crd"], [1, 2, 4, 5]), (["kd", "sp", "at", "pkt"], [1, 2, 4])]
)
def test_fastest_of_the_powers_of_two_and_a_lane_for_each(methods, expected):
    work = lockstep(*methods)
    before = [member.snapshot() for member in work.members]
    tried, times = [], {1: 3.0, 2: 1.0, 4: 2.0, 5: 1.5}

    def build(count):
        tried.append(count)
        return GraphedStep(work, FakeLanes())

    def seconds(step):
        step()
        return times[tried[-1]]

    assert fastest(work, build, seconds) == 2
    assert tried == expected
    for member, state in zip(work.members, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(member.snapshot(), state, strict=True))


@pytest.mark.parametrize("fitting", [0, 1, 2])
def test_no_more_lanes_than_memory_has_room_for(fitting):
    """Want of memory on one lane is that of the cohort, which is then split."""
    work = lockstep("kd", "sp", "at", "pkt")
    members, before = list(work.members), [member.snapshot() for member in work.members]

    def build(count):
        def want(capture):
            if count > fitting:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        return GraphedStep(work, FakeLanes(want))

    if fitting:
        assert fastest(work, build, lambda step: 1.0) == 1
    else:
        with pytest.raises(torch.OutOfMemoryError):
            fastest(work, build, lambda step: 1.0)
    assert work.members == members
    for member, state in zip(members, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(member.snapshot(), state, strict=True))


def test_a_member_alone_has_one_lane():
    tried = []
    work = lockstep("kd")
    assert fastest(work, lambda count: tried.append(count) or GraphedStep(work, FakeLanes()), lambda step: 1.0) == 1
    assert tried == [1]


def test_a_faulty_member_is_left_to_training(monkeypatch):
    work = lockstep("kd", "sp")
    members = list(work.members)
    monkeypatch.setattr(members[0].method, "terms", lambda *inputs: 1 / 0)
    assert fastest(work, lambda count: GraphedStep(work, FakeLanes()), lambda step: 1.0) == 1
    assert work.members == members


def test_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "folder")
    assert remembered("a", lambda: 4) == 4
    assert remembered("a", lambda: 8) == 4
    assert remembered("b", lambda: remembered("c", lambda: 1) + 1) == 2
    assert [remembered(kind, lambda: 8) for kind in "abc"] == [4, 2, 1], "measured at one time by two processes"
    (tmp_path / "folder/concurrency.json").write_text('{"a": "many"}')
    assert remembered("a", lambda: 1) == 1


def test_a_home_that_cannot_be_written_to_is_no_error(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "file")
    assert remembered("a", lambda: 4) == 4
    assert "the next run measures anew" in caplog.text


def test_cpu_trains_eagerly():
    assert isinstance(make_step(lockstep("kd"), CPU, 0), EagerStep)


def test_a_step_is_eager_where_the_variable_says_so(monkeypatch):
    """Where it is not, CUDA has the lanes that it is asked for."""
    monkeypatch.setattr("kdbench.training.concurrency.CudaLanes", lambda device, count: FakeLanes())
    work, device = lockstep("kd"), torch.device("cuda")
    assert isinstance(make_step(work, device, 2), GraphedStep)
    monkeypatch.setenv("KDBENCH_STEP", "eager")
    assert isinstance(make_step(work, device, 2), EagerStep)
    monkeypatch.setenv("KDBENCH_STEP", "eagre")
    with pytest.raises(UserError, match="unknown step in KDBENCH_STEP 'eagre'; did you mean 'eager'"):
        make_step(work, device, 2)
