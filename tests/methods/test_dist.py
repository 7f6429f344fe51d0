"""DIST against correlations in Python loops, and what a correlation does not see."""

import pytest
import torch

from kdbench_methods.dist import DIST, correlation
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, check_gradient, replaced


def pearson(a, b):
    a, b = ([x - ref.mean(row) for x in row] for row in (a, b))
    return ref.dot(a, b) / (ref.norm(a) * ref.norm(b) + 1e-8)


def distance(ours, theirs, tau):
    """τ²·(1 − mean of the rows' correlations)."""
    return tau**2 * (1 - ref.mean([pearson(a, b) for a, b in zip(ours, theirs, strict=True)]))


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_terms_equal_the_formula(tau):
    method, student, teacher, batch = case(DIST, tau=tau)
    ours, theirs = ([ref.softmax(row, tau) for row in outputs.logits.tolist()] for outputs in (student, teacher))
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        inter=distance(ours, theirs, tau),
        intra=distance(zip(*ours, strict=True), zip(*theirs, strict=True), tau),
    )


def test_a_correlation_sees_neither_scale_nor_offset():
    a, b = torch.randn(2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for dim in (0, 1):
        torch.testing.assert_close(correlation(3 * a + 2, b, dim), correlation(a, b, dim))
        torch.testing.assert_close(correlation(a, a, dim), torch.ones(5 if dim == 0 else 4, dtype=torch.float64))


def test_constants_correlate_with_nothing():
    method, student, teacher, batch = case(DIST)
    terms = method.terms(replaced(student, logits=torch.zeros_like(student.logits)), teacher, batch)
    assert (terms["inter"].item(), terms["intra"].item()) == pytest.approx((16, 16))


def test_weights():
    assert DIST.weights(DIST.Params()) == {"ce": 1.0, "inter": 2.0, "intra": 2.0}


def test_gradient():
    check_gradient(*case(DIST), "logits")
