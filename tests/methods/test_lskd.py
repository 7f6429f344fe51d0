"""LSKD against Python loops, and what standardised logits no longer show."""

import statistics

import pytest
import torch

from kdbench_methods.lskd import LSKD, standardised
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, check_gradient, replaced


def z_scores(row):
    return [(value - ref.mean(row)) / (statistics.stdev(row) + 1e-7) for value in row]


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_terms_equal_the_formula(tau):
    method, student, teacher, batch = case(LSKD, tau=tau)
    ours, theirs = (x.logits.new_tensor([z_scores(z) for z in x.logits.tolist()]) for x in (student, teacher))
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(ours, theirs, tau),
    )


def test_the_students_range_of_logits_is_its_own():
    method, student, teacher, batch = case(LSKD)
    terms = method.terms(replaced(student, logits=7 * teacher.logits + 3), teacher, batch)
    assert terms["kd"].item() == pytest.approx(0, abs=1e-12)


def test_constant_logits_stay_finite():
    logits = torch.full((2, 5), 3.0, requires_grad=True)
    rows = standardised(logits)
    rows.sum().backward()
    assert rows.tolist() == torch.zeros(2, 5).tolist()
    assert logits.grad.isfinite().all()


def test_weights():
    assert LSKD.weights(LSKD.Params()) == {"ce": 0.1, "kd": 9.0}


def test_gradient():
    check_gradient(*case(LSKD), "logits")
