"""NormKD against Python loops, and constant logits."""

import statistics

import pytest
import torch

from kdbench_methods.normkd import NormKD
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, check_gradient, replaced


def expected(student, teacher, t_norm):
    losses = []
    for z_s, z_t in zip(student.logits.tolist(), teacher.logits.tolist(), strict=True):
        tau_s, tau_t = (t_norm * statistics.stdev(z) for z in (z_s, z_t))
        losses.append(tau_t**2 * ref.kl(ref.softmax(z_t, tau_t), ref.softmax(z_s, tau_s)))
    return ref.mean(losses)


@pytest.mark.parametrize("t_norm", [1.0, 2.0])
def test_terms_equal_the_formula(t_norm):
    method, student, teacher, batch = case(NormKD, t_norm=t_norm)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=expected(student, teacher, t_norm),
    )


def test_the_students_range_of_logits_is_its_own():
    method, student, teacher, batch = case(NormKD)
    terms = method.terms(replaced(student, logits=7 * teacher.logits), teacher, batch)
    assert terms["kd"].item() == pytest.approx(0, abs=1e-12)


def test_constant_logits_stay_finite():
    method, student, teacher, batch = case(NormKD)
    logits = torch.zeros_like(student.logits).requires_grad_()
    loss = method.terms(replaced(student, logits=logits), teacher, batch)["kd"]
    loss.backward()
    uniform = torch.full_like(logits, 0.2).tolist()
    predictions = [ref.softmax(z, 2 * statistics.stdev(z)) for z in teacher.logits.tolist()]
    squares = [4 * statistics.variance(z) for z in teacher.logits.tolist()]
    rows = zip(squares, predictions, uniform, strict=True)
    assert loss.item() == pytest.approx(ref.mean([s * ref.kl(p, u) for s, p, u in rows]))
    assert logits.grad.isfinite().all()


def test_defaults():
    assert NormKD.weights(NormKD.Params()) == {"ce": 0.1, "kd": 0.9}
    assert NormKD.Params().t_norm == 2.0


def test_gradient():
    check_gradient(*case(NormKD), "logits")
