"""The captured step: bit for bit the eager one, in the right order, with those left out who cannot take part."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdbench.data.batches import Batches
from kdbench.model import place
from kdbench.plugins import load_plugins
from kdbench.training.member import FrozenTeacher, Member, teacher_outputs
from kdbench.training.step import EagerStep, GraphedStep, Lockstep
from tests.training.lanes import FakeLanes
from tests.training.support import CPU, GAINED, RECIPE, light_runs, noise_dataset, outcome, registered, runs, train

METHODS = ("kd", "dskd", "crd", "simkd", "student")


def lockstep(*methods: str, device: torch.device = CPU, **changes: object) -> Lockstep:
    """Members on the noise data set with an untrained teacher, by a changed recipe; the first epoch drawn."""
    registry, data, recipe = registered(), noise_dataset(), RECIPE.model_copy(update=changes)
    # A GPU has kernels for networks as they are used.
    group = (light_runs if device.type == "cpu" else runs)(*methods, recipe=recipe)
    architecture = registry.architecture(group[0].teacher.architecture if group[0].teacher else "resnet14")
    torch.manual_seed(0)
    network = place(architecture.build(4).eval().requires_grad_(False), device)
    teacher = FrozenTeacher(network, architecture.shapes(4, 8), "", None)
    members = [Member(run, registry, data, teacher if run.teacher else None, None, device) for run in group]
    batches = Batches(data, augmentation=recipe.augmentation, batch_size=recipe.batch_size, seed=0, device=device)
    batches.epoch(1)
    return Lockstep.of(members, teacher, batches)


def graphed(monkeypatch, lanes: FakeLanes) -> None:
    """Cohorts use the captured step."""
    monkeypatch.setattr("kdbench.training.cohort.make_step", lambda work, device, count: GraphedStep(work, lanes))


def test_same_bits_as_the_eager_step(tmp_path, monkeypatch):
    eager = train(tmp_path / "eager", light_runs(*METHODS[:4]))
    graphed(monkeypatch, FakeLanes())
    captured = train(tmp_path / "graphed", light_runs(*METHODS[:4]))
    assert {m: outcome(r) for m, r in captured.items()} == {m: outcome(r) for m, r in eager.items()}


def test_same_bits_as_the_eager_step_by_every_part_of_a_recipe(tmp_path, monkeypatch):
    group = light_runs("kd", "simkd", recipe=GAINED)
    eager = train(tmp_path / "eager", group)
    graphed(monkeypatch, FakeLanes())
    captured = train(tmp_path / "graphed", group)
    assert {m: outcome(r) for m, r in captured.items()} == {m: outcome(r) for m, r in eager.items()}


def test_order_of_capture_and_replay():
    lanes, work = FakeLanes(), lockstep("kd", "crd")
    step = GraphedStep(work, lanes)
    for number in range(3):  # 8, 8 and 4 images
        assert step(1, number) == []
    warm_up, run = ["warm-up"] + 3 * ["fork 2", "join"], ["replay", "fork 2", "join"]
    assert lanes.log == [*warm_up, "capture", *run, *run, *warm_up, "capture", *run]
    generator = work.members[1].generator
    assert lanes.registered == [[generator], [generator]]


def test_warm_up_leaves_no_trace():
    """Weights, norms' statistics, momenta, memory banks and sums are those of one step after one step."""
    eager, captured = lockstep("crd", "simkd"), lockstep("crd", "simkd")
    EagerStep(eager)(1, 0)
    GraphedStep(captured, FakeLanes())(1, 0)
    for one, other in zip(eager.members, captured.members, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.snapshot(), other.snapshot(), strict=True))


def test_member_that_raises_is_dropped_and_the_rest_captured_anew(monkeypatch):
    lanes, work = FakeLanes(), lockstep("kd", "sp")
    step = GraphedStep(work, lanes)
    step(1, 0)
    bad, good = work.members
    step.drop(bad)
    monkeypatch.setattr(good.method, "terms", _raise)
    assert [(member, str(error)) for member, error in step(1, 1)] == [(good, "out of ideas")]
    assert work.members == []
    assert step(1, 2) == []


def test_member_that_cannot_be_captured_is_found():
    work = lockstep("kd", "sp", "student")
    culprit = work.members[1]
    capturing = []

    def on_capture(piece):
        capturing.append(True)
        before = [member.snapshot() for member in work.members]
        try:
            piece()
        finally:
            capturing.pop()
            for member, state in zip(work.members, before, strict=True):
                member.restore(state)

    inner = culprit.method.terms

    def terms(*inputs):
        if capturing:
            raise RuntimeError("operation not permitted when stream is capturing")
        return inner(*inputs)

    culprit.method.terms = terms
    faults = GraphedStep(work, FakeLanes(on_capture))(1, 0)
    assert [member for member, _ in faults] == [culprit]
    assert len(work.members) == 2


def test_out_of_memory_is_nobodys_fault(monkeypatch):
    for build in (EagerStep, lambda work: GraphedStep(work, FakeLanes())):
        work = lockstep("kd")
        monkeypatch.setattr(work.members[0].method, "terms", _out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            build(work)(1, 0)


def test_out_of_memory_while_the_culprit_is_sought_is_nobodys_fault():
    errors = iter([RuntimeError("capture failed"), torch.OutOfMemoryError("CUDA out of memory.")])

    def on_capture(piece):
        raise next(errors)

    with pytest.raises(torch.OutOfMemoryError):
        GraphedStep(lockstep("kd"), FakeLanes(on_capture))(1, 0)


def test_teacher_computes_only_what_members_declare(monkeypatch):
    asked = []

    def outputs(teacher, images, autocast, features):
        asked.append(features)
        return teacher_outputs(teacher, images, autocast, features)

    monkeypatch.setattr("kdbench.training.step.teacher_outputs", outputs)
    EagerStep(lockstep("kd"))(1, 0)
    EagerStep(lockstep("kd", "sp", "crd"))(1, 0)
    EagerStep(lockstep("student"))(1, 0)
    assert asked == [("logits",), ("logits", "stages", "embedding")]


@pytest.mark.parametrize("build", [EagerStep, lambda work: GraphedStep(work, FakeLanes())], ids=["eager", "graphed"])
def test_a_short_batch_passes_by_who_wants_full_ones(build):
    """Nothing of theirs changes, norms' statistics and momenta included, and their terms are means of what they saw."""
    work = lockstep("kd", "semckd")
    other, picky = work.members
    picky.needs = replace(picky.needs, full_batches=True)
    step = build(work)
    for number in range(2):  # of 8 images each
        assert step(1, number) == []
    before = [member.snapshot() for member in work.members]
    assert step(1, 2) == []  # of 4
    for member, passed_by in ((other, False), (picky, True)):
        unchanged = map(torch.equal, before[work.members.index(member)], member.snapshot())
        assert all(unchanged) if passed_by else not all(unchanged)
    sums = picky.totals.tolist()
    assert list(picky.end_epoch(20).values()) == pytest.approx([value / 16 for value in sums])


def test_who_wants_full_batches_where_there_are_none_is_refused(monkeypatch):
    registry, data = load_plugins(), noise_dataset(size=20)
    student = registry.method("student")
    monkeypatch.setattr(student, "needs", replace(student.needs, full_batches=True))
    for size in (20, 21):
        (run,) = runs("student", recipe=RECIPE.model_copy(update={"batch_size": size}))
        with nullcontext() if size == 20 else pytest.raises(ValueError, match="20 training images fill none of 21"):
            Member(run, registry, data, None, None, CPU)


@pytest.mark.parametrize(("methods", "recipe"), [(METHODS[:4], RECIPE), (("kd", "simkd"), GAINED)])
def test_a_replayed_step_reads_nothing_on_the_host(methods, recipe):
    work = lockstep(*methods, **dict(recipe))
    step = GraphedStep(work, FakeLanes())
    step(1, 0)
    with _NoReading():
        step(1, 1)


class _NoReading(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "a value was read on the host"
        return func(*args, **(kwargs or {}))


def _raise(*inputs):
    raise RuntimeError("out of ideas")


def _out_of_memory(*inputs):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
