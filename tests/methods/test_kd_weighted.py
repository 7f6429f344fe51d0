import pytest

from kdbench_methods.kd_weighted import WeightedKD
from tests.methods import reference as ref
from tests.methods.support import approx, case, check_gradient, weighted_sum


@pytest.mark.parametrize("params", [{}, {"gamma": 0.5, "alpha": 2.0, "tau": 1.0}])
def test_the_loss_equals_the_formula(params):
    method, student, teacher, batch = case(WeightedKD, **params)
    p = method.params
    expected = p.gamma * ref.cross_entropy(student.logits, batch.labels)
    expected += p.alpha * ref.kd(student.logits, teacher.logits, p.tau)
    assert weighted_sum(method, method.terms(student, teacher, batch)).item() == approx(expected)


def test_default_weights_are_repdistillers():
    assert WeightedKD.weights(WeightedKD.Params()) == {"ce": 0.1, "kd": 0.9}


def test_gradient():
    check_gradient(*case(WeightedKD), "logits")
