"""MLLD against Python loops over samples and classes."""

import pytest

from kdbench_methods.mlld import MLLD, half
from tests.methods import reference as ref
from tests.methods.support import approx, assert_terms, case, check_gradient

TEMPERATURES = (2, 3, 4, 5, 6)


def relations(ours, theirs):
    """Σ_ij (⟨t_i, t_j⟩ − ⟨s_i, s_j⟩)² of rows, over their number."""
    rows = range(len(ours))
    squares = ((ref.dot(theirs[i], theirs[j]) - ref.dot(ours[i], ours[j])) ** 2 for i in rows for j in rows)
    return sum(squares) / len(ours)


@pytest.mark.parametrize(("samples", "share"), [(6, 0.5), (7, 4 / 7)])
def test_terms_equal_the_formula(samples, share):
    method, student, teacher, batch = case(MLLD, batch=samples)
    instance = batches = classes = 0.0
    for tau in TEMPERATURES:
        ours, theirs = ([ref.softmax(z, tau) for z in x.logits.tolist()] for x in (student, teacher))
        instance += ref.kd(student.logits, teacher.logits, tau)
        batches += relations(ours, theirs)
        classes += relations(list(zip(*ours, strict=True)), list(zip(*theirs, strict=True)))
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        **{"instance": (1 + share) * instance, "batch": share * batches, "class": 3 / 5 * classes},
    )


@pytest.mark.parametrize("n", [1, 2, 63, 64, 100])
def test_half_is_the_share_of_what_is_not_above_the_median(n):
    median = (n - 1) / 2
    assert half(n) == approx(sum(i <= median for i in range(n)) / n)


def test_defaults():
    assert MLLD.weights(MLLD.Params()) == {"ce": 0.2, "instance": 0.9, "batch": 0.9, "class": 0.9}


def test_gradient():
    check_gradient(*case(MLLD), "logits")
