"""ICKD against loops over channels."""

import pytest

from kdbench_methods.ickd import ICKD
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case, check_gradient


def correlations(sample):
    """Rows of the inner products of channels, each at unit length."""
    return [ref.unit([ref.dot(a, b) for b in sample]) for a in sample]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms_equal_the_formula(pair):
    method, student, teacher, batch = case(ICKD, pair)
    convolution, norm = method.regressor
    ours = norm(ref.pointwise(convolution, student.stages[-1])).flatten(2).tolist()
    theirs = teacher.stages[-1].flatten(2).tolist()
    distances = [
        sum((x - y) ** 2 for x, y in zip(row, other, strict=True))
        for sample in zip(ours, theirs, strict=True)
        for row, other in zip(*map(correlations, sample), strict=True)
    ]
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        correlation=ref.mean(distances),
    )


def test_gradient():
    check_gradient(*case(ICKD), "logits", "stages")


def test_weights():
    assert ICKD.weights(ICKD.Params()) == {"ce": 1.0, "kd": 1.0, "correlation": 2.5}
