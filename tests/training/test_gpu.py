"""Training on CUDA: captured, forked, rounded, interrupted, and out of memory. What a CPU can prove runs there too."""

import json

import pytest
import torch

from kdbench.store import kept
from kdbench.store.progress import Progress
from kdbench.training import concurrency
from kdbench.training.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from kdbench.training.concurrency import make_step
from kdbench.training.evaluation import tally
from kdbench.training.lanes import CudaLanes, Lanes
from kdbench.training.numerics import numerics
from kdbench.training.step import EagerStep, GraphedStep, Lockstep, Step
from tests.gpu import CPU, CUDA, DEVICES, needs_gpu
from tests.training.lanes import FakeLanes
from tests.training.test_step import METHODS, lockstep

STUDENTS = METHODS[:4]


def lanes_of(device: torch.device, count: int) -> Lanes:
    return CudaLanes(device, count) if device.type == "cuda" else FakeLanes()


def train(step: Step, work: Lockstep, epochs: int = 2) -> None:
    """Epochs of 8, 8 and 4 images: the last batch is short."""
    for epoch in range(1, epochs + 1):
        work.batches.epoch(epoch)
        for number in range(3):
            assert step(epoch, number) == []


def assert_same_bits(one: Lockstep, other: Lockstep) -> None:
    for a, b in zip(one.members, other.members, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.snapshot(), b.snapshot(), strict=True)), a.run.method


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_captured_step_equals_an_eager_one(device, precision):
    eager, captured = (lockstep(*STUDENTS, device=device, precision=precision) for _ in range(2))
    with numerics(precision, deterministic=True):
        train(EagerStep(eager), eager)
        train(GraphedStep(captured, lanes_of(device, 3)), captured)
    assert_same_bits(eager, captured)


@pytest.mark.parametrize("device", DEVICES)
def test_the_number_of_lanes_changes_nothing(device):
    one, many = (lockstep(*STUDENTS, device=device) for _ in range(2))
    with numerics("fp32", deterministic=True):
        train(GraphedStep(one, lanes_of(device, 1)), one)
        train(GraphedStep(many, lanes_of(device, 4)), many)
    assert_same_bits(one, many)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", STUDENTS)
def test_alone_as_in_a_cohort(device, method):
    together, alone = lockstep(*STUDENTS, device=device), lockstep(method, device=device)
    with numerics("fp32", deterministic=True):
        train(GraphedStep(together, lanes_of(device, 4)), together)
        train(GraphedStep(alone, lanes_of(device, 1)), alone)
    together.members[:] = [member for member in together.members if member.run.method == method]
    assert_same_bits(together, alone)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_coarser_precisions_stay_near_float32(device, precision):
    """A step's losses, in float32 as always, differ by no more than the networks' rounding explains."""
    exact, coarse = lockstep(*STUDENTS, device=device), lockstep(*STUDENTS, device=device, precision=precision)
    for work, chosen in ((exact, "fp32"), (coarse, precision)):
        with numerics(chosen):
            assert make_step(work, device, 2)(1, 0) == []
    for ours, theirs in zip(coarse.members, exact.members, strict=True):
        assert all(parameter.dtype == torch.float32 for parameter in ours.parameters)
        torch.testing.assert_close(ours.totals, theirs.totals, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("wrote", "reads"), [("device", "cpu"), ("cpu", "device")])
def test_a_checkpoint_goes_from_one_device_to_another(device, wrote, reads, tmp_path):
    places = {"device": device, "cpu": CPU}
    before, after = (lockstep(*STUDENTS, device=places[where]) for where in (wrote, reads))
    train(make_step(before, places[wrote], 2), before, epochs=1)
    for number, (member, other) in enumerate(zip(before.members, after.members, strict=True)):
        save_checkpoint(tmp_path / f"{number}", member, Progress(run_id=member.run.id))
        load_checkpoint(read_checkpoint(tmp_path / f"{number}"), other)
        for ours, theirs in zip(other.snapshot(), member.snapshot(), strict=True):
            assert ours.device.type == places[reads].type
            assert torch.equal(ours.cpu(), theirs.cpu())
    train(make_step(after, places[reads], 2), after)


@pytest.mark.parametrize("device", DEVICES)
def test_evaluation_is_that_of_a_cpu(device):
    ours, theirs = lockstep("student", device=device), lockstep("student")
    with numerics("fp32"):
        found, expected = (
            tally(work.members[0].deployed, work.batches.test(), torch.float32, there).score()
            for work, there in ((ours, device), (theirs, CPU))
        )
    assert found.top1 == expected.top1
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_members_go_on_when_one_has_left(device):
    """Who has left is still there with its gradients, which lie in the memory of graphs that are gone."""
    work, alone = lockstep("kd", "crd", device=device), lockstep("crd", device=device)
    step, other = GraphedStep(work, lanes_of(device, 2)), GraphedStep(alone, lanes_of(device, 1))
    with numerics("fp32", deterministic=True):
        train(step, work, epochs=1)
        left = work.members[0]
        step.drop(left)
        work.batches.epoch(2)
        for number in range(3):
            assert step(2, number) == []
        train(other, alone)
    assert all(parameter.grad is not None for parameter in left.parameters)
    assert_same_bits(work, alone)


@needs_gpu
def test_no_replayed_step_waits_for_the_device():
    work = lockstep(*STUDENTS, device=CUDA)
    step = make_step(work, CUDA, 3)
    train(step, work, epochs=1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(3):
            step(1, number)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
def test_a_member_that_cannot_be_captured_is_found(monkeypatch):
    work = lockstep("kd", "sp", "crd", device=CUDA)
    culprit = work.members[1]
    inner = culprit.method.terms

    def terms(*inputs):
        found = inner(*inputs)
        found["ce"].item()
        return found

    monkeypatch.setattr(culprit.method, "terms", terms)
    step = GraphedStep(work, CudaLanes(CUDA, 2))
    ((member, error),) = step(1, 0)
    assert member is culprit and "captur" in str(error)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    torch.cuda.empty_cache()  # refused while PyTorch takes the broken capture for one that goes on
    train(step, work)


@needs_gpu
def test_want_of_memory_within_a_capture_is_told_as_such(monkeypatch):
    work = lockstep("kd", "sp", device=CUDA)
    inner = work.members[1].method.terms

    def terms(*inputs):
        if torch.cuda.is_current_stream_capturing():
            torch.empty(2**50, device=CUDA)
        return inner(*inputs)

    with monkeypatch.context() as patch:
        patch.setattr(work.members[1].method, "terms", terms)
        with pytest.raises(torch.OutOfMemoryError):
            GraphedStep(work, CudaLanes(CUDA, 2))(1, 0)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    train(GraphedStep(work, CudaLanes(CUDA, 2)), work)


@needs_gpu
def test_the_number_of_lanes_is_measured_once(monkeypatch, tmp_path):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    work = lockstep(*STUDENTS, device=CUDA)
    before = [member.snapshot() for member in work.members]
    step = make_step(work, CUDA, 0)
    ((kind, lanes),) = json.loads((tmp_path / "concurrency.json").read_text()).items()
    assert torch.cuda.get_device_name() in kind and lanes in (1, 2, len(STUDENTS))
    for member, state in zip(work.members, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(member.snapshot(), state, strict=True))
    train(step, work)
    monkeypatch.setattr(concurrency, "cuda_seconds", None)
    make_step(lockstep(*STUDENTS, device=CUDA), CUDA, 0)
