import pytest

from kdbench_methods.dtd import DTD
from kdbench_methods.ka_dtd import KADTD
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, check_gradient
from tests.methods.test_dtd import taus
from tests.methods.test_ka import adjusted_kd, half_right


@pytest.mark.parametrize("adjust", ["ps", "lsr"])
@pytest.mark.parametrize("weighting", ["flsw", "cwsm"])
def test_terms_equal_the_formula(adjust, weighting):
    method, student, teacher, batch = case(KADTD, adjust=adjust, weighting=weighting, smoothing=0.8)
    half_right(teacher, batch)
    expected = taus(student.logits, teacher.logits, weighting=weighting)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=adjusted_kd(student.logits, teacher.logits, batch.labels, expected, adjust, 0.8),
    )


def test_it_is_dtd_where_the_teacher_is_right():
    method, student, teacher, batch = case(KADTD)
    batch.labels.copy_(teacher.logits.argmax(dim=1))
    dtd, *_ = case(DTD)
    assert_terms(
        method.terms(student, teacher, batch),
        **{name: term.item() for name, term in dtd.terms(student, teacher, batch).items()},
    )


@pytest.mark.parametrize("adjust", ["ps", "lsr"])
def test_gradient_at_a_constant_temperature(adjust):
    check_gradient(*case(KADTD, adjust=adjust, beta=0.0), "logits")
