import math

import pytest
import torch
from pydantic import ValidationError

from kdbench.model import Outputs
from kdbench_methods.byot import BYOT, DISTANCES
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient, shallow_heads


def squares(head, student):
    """(F_l - F_L)² of each sample and channel."""
    return [
        [(a - b) ** 2 for a, b in zip(ours, last, strict=True)]
        for ours, last in zip(head.embedding.tolist(), student.embedding.tolist(), strict=True)
    ]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("tau", [3.0, 4.0])
def test_terms_equal_the_formula(pair, tau):
    method, student, teacher, batch = case(BYOT, pair, tau=tau)
    heads = shallow_heads(method, student)
    assert len(heads) == len(student.stages) - 1
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        ce_shallow=sum(ref.cross_entropy(head.logits, batch.labels) for head in heads),
        kd_shallow=sum(ref.kd(head.logits, student.logits, tau) for head in heads),
        hint=sum(sum(map(sum, squares(head, student))) / len(batch.labels) for head in heads),
    )


def test_the_norm_is_taken_over_the_whole_batch():
    method, student, teacher, batch = case(BYOT, distance="norm")
    expected = sum(math.sqrt(sum(map(sum, squares(head, student)))) for head in shallow_heads(method, student))
    assert method.terms(student, teacher, batch)["hint"].item() == approx(expected)


def test_without_tau_squared_the_divergence_is_16_times_weaker():
    full, weak = (case(BYOT, tau_squared=on) for on in (True, False))
    full, weak = (method.terms(*rest)["kd_shallow"].item() for method, *rest in (full, weak))
    assert full == approx(16 * weak)


def test_weights_share_1_between_labels_and_predictions():
    assert BYOT.weights(BYOT.Params()) == {"ce": 1.0, "ce_shallow": 0.7, "kd_shallow": 0.3, "hint": 1e-4}
    with pytest.raises(ValidationError):
        BYOT.Params(alpha=1.5)


def test_the_last_classifier_learns_from_the_labels_alone():
    method, student, teacher, batch = case(BYOT)
    terms = method.terms(student, teacher, batch)
    (terms["ce_shallow"] + terms["kd_shallow"] + terms["hint"]).backward()
    assert student.logits.grad is None
    assert student.embedding.grad is None
    assert all((stage.grad != 0).any() for stage in student.stages[:-1])


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_vectors_have_distance_and_gradient_zero(distance):
    difference = torch.zeros(3, 4, requires_grad=True)
    value = DISTANCES[distance](difference)
    value.backward()
    assert value.item() == 0
    assert torch.equal(difference.grad, torch.zeros(3, 4))


def test_it_needs_no_teacher():
    method, student, _, batch = case(BYOT)
    assert method.needs.teacher == ()
    assert method.terms(student, Outputs("teacher"), batch).keys() == {"ce", "ce_shallow", "kd_shallow", "hint"}


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradient(distance):
    # Of the stages alone: logits and embedding of the last classifier are targets, whose gradient is cut.
    check_gradient(*case(BYOT, distance=distance, lam=1.0), "stages")
