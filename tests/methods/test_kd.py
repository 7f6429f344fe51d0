import pytest

from kdbench_methods.kd import KD
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, check_gradient


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_terms_equal_the_formula(tau):
    method, student, teacher, batch = case(KD, tau=tau)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, tau),
    )


def test_weights():
    assert KD.weights(KD.Params()) == {"ce": 1.0, "kd": 1.0}
    assert KD.weights(KD.Params(alpha=0)) == {"ce": 1.0, "kd": 0.0}


def test_gradient():
    check_gradient(*case(KD), "logits")
