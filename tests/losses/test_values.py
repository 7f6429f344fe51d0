"""Losses against loops written by hand, in float64 and for every switch."""

import itertools

import pytest
import torch

from tests.losses import by_hand
from tests.losses.support import arguments, implementation, mapped

BACKENDS = ("reference", "analytic")
SWITCHES = [dict(zip(("adaptive", "per_sample"), x, strict=True)) for x in itertools.product((True, False), repeat=2)]


def _double(operator, batch=3, classes=4):
    return mapped(arguments(operator, batch, classes), torch.Tensor.double)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tau_squared", [True, False])
def test_kd(backend, tau_squared):
    student, teacher = _double("kd")
    rows = [by_hand.kl(t, s, 3.0, tau_squared) for t, s in zip(teacher.tolist(), student.tolist(), strict=True)]
    kd = implementation(backend, "kd")
    assert kd(student, teacher, 3.0, tau_squared=tau_squared).item() == pytest.approx(by_hand.mean(rows), rel=1e-12)
    each = kd(student, teacher, 3.0, tau_squared=tau_squared, reduction="none")
    assert each.tolist() == pytest.approx(rows, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tau_squared", [True, False])
def test_kd_with_a_temperature_per_sample(backend, tau_squared):
    student, teacher = _double("kd")
    tau = torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64)
    rows = [
        by_hand.kl(t, s, own, tau_squared)
        for t, s, own in zip(teacher.tolist(), student.tolist(), tau.tolist(), strict=True)
    ]
    kd = implementation(backend, "kd")
    assert kd(student, teacher, tau, tau_squared=tau_squared).item() == pytest.approx(by_hand.mean(rows), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ce_kd(backend):
    student, teacher, labels = _double("ce_kd")
    ce, kd = implementation(backend, "ce_kd")(student, teacher, labels, 2.0)
    rows = list(zip(teacher.tolist(), student.tolist(), labels.tolist(), strict=True))
    assert ce.item() == pytest.approx(by_hand.mean([by_hand.cross_entropy(s, y) for _, s, y in rows]), rel=1e-12)
    assert kd.item() == pytest.approx(by_hand.mean([by_hand.kl(t, s, 2.0, True) for t, s, _ in rows]), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_deep_kd(backend, switches):
    teacher, shallow, last = _double("deep_kd")
    losses = [
        [by_hand.kl(t, s, 4.0, True) for t, s in zip(teacher.tolist(), head.tolist(), strict=True)]
        for head in (*shallow, last)
    ]
    got = implementation(backend, "deep_kd")(teacher, shallow, last, **switches)
    assert [x.item() for x in got] == pytest.approx(list(by_hand.deep(losses, **switches)), rel=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_deep_mse(backend, switches):
    teacher, shallow, last = _double("deep_mse")
    flat = teacher.flatten(1).tolist()
    losses = [
        [by_hand.squared_error(t, f) for t, f in zip(flat, head.flatten(1).tolist(), strict=True)]
        for head in (*shallow, last)
    ]
    got = implementation(backend, "deep_mse")(teacher, shallow, last, **switches)
    assert [x.item() for x in got] == pytest.approx(list(by_hand.deep(losses, **switches)), rel=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operator", ["deep_kd", "deep_mse"])
def test_without_shallow_heads_their_loss_is_nought(backend, operator):
    last, shallow = implementation(backend, operator)(*_double_without_shallow(operator))
    assert shallow.item() == 0 and last.item() > 0


def _double_without_shallow(operator):
    return mapped(arguments(operator, 3, 4, heads=1), torch.Tensor.double)
