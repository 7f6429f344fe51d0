"""NKD against Python loops."""

import math

import pytest

from kdbench_methods.nkd import NKD
from tests.methods import reference as ref
from tests.methods.support import approx, assert_terms, case, check_gradient, replaced


def expected(student, teacher, batch, tau):
    target, others = [], []
    for z_s, z_t, y in zip(student.logits.tolist(), teacher.logits.tolist(), batch.labels.tolist(), strict=True):
        target.append(-ref.softmax(z_t)[y] * math.log(ref.softmax(z_s)[y]))
        hat_s, hat_t = (ref.softmax(z[:y] + z[y + 1 :], tau) for z in (z_s, z_t))
        others.append(-(tau**2) * sum(b * math.log(a) for a, b in zip(hat_s, hat_t, strict=True)))
    return ref.mean(target), ref.mean(others)


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_terms_equal_the_formula(tau):
    method, student, teacher, batch = case(NKD, tau=tau)
    target, others = expected(student, teacher, batch, tau)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        target=target,
        others=others,
    )


def test_a_student_like_its_teacher_is_moved_by_the_label_alone():
    method, student, teacher, batch = case(NKD)
    logits = teacher.logits.detach().requires_grad_()
    method.terms(replaced(student, logits=logits), teacher, batch)["others"].backward()
    assert logits.grad.abs().max().item() == approx(0)


def test_defaults():
    assert NKD.weights(NKD.Params()) == {"ce": 1.0, "target": 1.0, "others": 3.5}
    assert NKD.Params().tau == 3.0


def test_gradient():
    check_gradient(*case(NKD), "logits")
