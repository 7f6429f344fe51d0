"""What must hold for any input, for every method of the zoo."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from kdbench.method import Batch
from kdbench_methods.cc import CC
from kdbench_methods.crd import CRD
from kdbench_methods.dkd import DKD
from kdbench_methods.nst import NST
from kdbench_methods.pkt import PKT
from kdbench_methods.reviewkd import ReviewKD
from kdbench_methods.rkd import RKD
from kdbench_methods.semckd import SemCKD
from kdbench_methods.simkd import SimKD
from kdbench_methods.sp import SP
from tests.methods.support import leaves, mapped, replaced, weighted_sum
from tests.support import STUDENT, TEACHER, build_method, declared, random_batch, random_outputs

ZOO = [CC, CRD, DKD, NST, PKT, ReviewKD, RKD, SemCKD, SimKD, SP]
any_method = pytest.mark.parametrize("method", ZOO, ids=lambda method: method.name)
examples = settings(max_examples=15)


def scaled(outputs, scale, dtype, logit_scale=1.0):
    """Float32 leaves that hold values of `dtype`, logits and features at their own scales."""

    def leaf(x, factor):
        return (x.detach() * factor).clamp(-factor, factor).to(dtype).float().requires_grad_()

    return replaced(mapped(outputs, lambda x: leaf(x, scale)), logits=leaf(outputs.logits, logit_scale))


def total(method, student, teacher, batch):
    terms, weights = method.terms(*declared(method, student, teacher, batch)), method.weights(method.params)
    assert set(terms) == set(weights) == set(method.formula)
    assert all(term.shape == () for term in terms.values())
    return weighted_sum(method, terms)


@any_method
@examples
@given(
    scale=st.sampled_from([0.0, 1e-6, 1.0, 100.0, 1e4]),
    logit_scale=st.floats(0.0, 1e4),
    dtype=st.sampled_from([torch.float16, torch.bfloat16]),
    same=st.booleans(),
    epoch=st.integers(1, 240),
    seed=st.integers(0, 1000),
)
def test_loss_and_gradients_are_finite(method, scale, logit_scale, dtype, same, epoch, seed):
    built = build_method(method).float()
    student = scaled(random_outputs(STUDENT, seed=seed), scale, dtype, logit_scale)
    teacher = scaled(random_outputs(TEACHER, seed=seed + 1), scale, dtype, logit_scale)
    if same:  # one sample repeated: every distance is 0
        student, teacher = (mapped(outputs, _first_sample) for outputs in (student, teacher))
    loss = total(built, student, teacher, random_batch(epoch=epoch, seed=seed))
    loss.backward()
    assert loss.isfinite()
    for tensor in [*leaves(student), *built.parameters()]:
        assert tensor.grad is None or tensor.grad.isfinite().all()


def _first_sample(x):
    return x.detach()[:1].repeat(len(x), *(1,) * (x.dim() - 1)).requires_grad_()


@pytest.mark.parametrize("method", [DKD, NST, PKT, RKD, SP], ids=lambda method: method.name)
@examples
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_is_zero_where_the_student_equals_the_teacher(method, seed, scale):
    """For methods without modules, all but the cross-entropy; up to rounding of a difference of equals."""
    built = build_method(method, student=TEACHER)
    outputs = scaled(random_outputs(TEACHER, seed=seed), scale, torch.float16)
    terms = built.terms(*declared(built, outputs, outputs, random_batch(seed=seed)))
    for name in set(terms) - {"ce"}:
        assert abs(terms[name].item()) < 1e-6


@pytest.mark.parametrize("method", [DKD, NST, PKT, ReviewKD, RKD, SimKD, SP], ids=lambda method: method.name)
@examples
@given(seed=st.integers(0, 1000), order=st.permutations(range(6)))
def test_order_of_the_batch_does_not_matter(method, seed, order):
    """It does to CC (neighbours), CRD (random negatives for each place) and SemCKD (places in a row)."""
    student, teacher = random_outputs(STUDENT, seed=seed), random_outputs(TEACHER, seed=seed + 1)
    batch, built = random_batch(seed=seed), build_method(method)
    permuted = Batch(batch.labels[order], index=batch.index[order], epoch=batch.epoch, generator=batch.generator)
    before = total(built, student, teacher, batch)
    after = total(built, *(mapped(outputs, lambda x: x[order]) for outputs in (student, teacher)), permuted)
    torch.testing.assert_close(after, before)


@any_method
def test_no_value_decides_what_is_computed(method):
    """On tensors without data, anything that needs a value (`.item()`, `if tensor`, a boolean mask) raises."""
    built = build_method(method).float()
    student, teacher = (scaled(random_outputs(n), 1.0, torch.float32) for n in (STUDENT, TEACHER))
    batch = random_batch()
    with FakeTensorMode() as mode:
        for module in built.modules():
            for store in (module._parameters, module._buffers):
                store.update({name: x if x is None else mode.from_tensor(x) for name, x in store.items()})
        fake = [mapped(outputs, mode.from_tensor) for outputs in (student, teacher)]
        fields = {"index": mode.from_tensor(batch.index), "epoch": mode.from_tensor(batch.epoch)}
        faked = Batch(mode.from_tensor(batch.labels), **fields, generator=batch.generator)
        loss = total(built, *fake, faked)
        loss.backward()
    assert loss.shape == ()


@any_method
def test_teacher_is_read_and_never_trained(method):
    built = build_method(method)
    student, teacher = random_outputs(STUDENT), random_outputs(TEACHER, seed=1)
    copies = copy.deepcopy([leaf.detach() for leaf in leaves(teacher)])
    total(built, student, teacher, random_batch()).backward()
    assert all(leaf.grad is None for leaf in leaves(teacher))
    assert all(torch.equal(a, b) for a, b in zip(copies, leaves(teacher), strict=True))


@any_method
def test_own_modules_run_in_the_recipes_precision(method):
    """bfloat16 moves the loss of methods with modules a little, and of the others not at all; it stays float32."""
    size = {"input_size": 16}  # more than one pixel at the end, where batch norm would amplify the rounding
    losses = {}
    for precision in (torch.float32, torch.bfloat16):
        built = build_method(method, **size).float()
        built.precision = precision
        student, teacher = (scaled(random_outputs(n, **size), 1.0, torch.float32) for n in (STUDENT, TEACHER))
        losses[precision] = total(built, student, teacher, random_batch())
    full, mixed = losses.values()
    assert mixed.dtype == torch.float32
    if list(build_method(method).parameters()):
        assert mixed != full
        torch.testing.assert_close(mixed, full, rtol=0.05, atol=0)
    else:
        assert torch.equal(mixed, full)


@any_method
def test_declares_what_it_is(method):
    params = method.Params()
    assert method.name and method.citation
    assert method.weights(params).get("ce", 1.0) == 1.0
    assert all(text.format(**params.model_dump()) for text in method.formula.values())
    assert method.decline(params, STUDENT.shapes(5, 8), TEACHER.shapes(5, 8)) is None
