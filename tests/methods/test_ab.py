"""AB: the boundaries' distance in loops, and the two parts of a run."""

import pytest
import torch
from torch import nn

from kdbench_methods.ab import AB, boundary_distance
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient
from tests.support import TEACHER, build_method


def distance(ours, theirs, margin):
    """mean_b Σ of squares of what lies on the wrong side of the margin, element by element."""
    total = 0.0
    for s, t in zip(ours.flatten().tolist(), theirs.flatten().tolist(), strict=True):
        if t <= 0 and s > -margin:
            total += (s + margin) ** 2
        if t > 0 and s <= margin:
            total += (s - margin) ** 2
    return total / len(ours)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_the_first_part_teaches_boundaries_alone(pair, margin):
    method, student, teacher, batch = case(AB, pair, epoch=2, margin=margin)
    paired = min(len(student.preactivations), len(teacher.preactivations))
    expected = 0.0
    for number, connect in enumerate(method.connectors, 1):
        ours = connect(student.preactivations[number - paired - 1])
        theirs = ref.pool(teacher.preactivations[number - paired - 1], *ours.shape[2:])
        expected += 0.003 * 2.0 ** (number - paired) * distance(ours, theirs, margin)
    assert_terms(method.terms(student, teacher, batch), ce=0, kd=0, feature=expected)


def test_the_second_part_classifies_alone():
    method, student, teacher, batch = case(AB, epoch=3)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        feature=0,
    )


@pytest.mark.parametrize(("epochs", "initial", "first"), [(240, 0.125, 30), (10, 0.125, 2), (1, 0.125, 1), (8, 0.5, 4)])
def test_the_first_part_is_a_share_of_the_epochs_rounded_up(epochs, initial, first):
    assert build_method(AB, epochs=epochs, initial=initial).initial_epochs == first


def test_equal_maps_are_not_connected():
    shapes = {type(module) for module in build_method(AB, TEACHER, TEACHER).connectors}
    assert shapes == {nn.Identity}
    assert all(isinstance(module, nn.Sequential) for module in build_method(AB).connectors)


def test_what_is_on_its_side_of_the_margin_has_no_gradient():
    ours = torch.tensor([[[[2.0, 0.5, -0.5, -2.0]]]], requires_grad=True)
    boundary_distance(ours, torch.tensor([[[[1.0, 1.0, -1.0, 0.0]]]]), 1.0).backward()
    assert ours.grad.flatten().tolist() == [0, -1, 1, 0]


def test_gradient():
    check_gradient(*case(AB), "preactivations")
    check_gradient(*case(AB, epoch=3), "logits")


def test_weights_and_remark():
    assert AB.weights(AB.Params()) == {"ce": 1.0, "kd": 1.0, "feature": approx(1)}
    remark = "initialises within the run, RepDistiller in 30 epochs before it"
    assert (AB.caveat_for(AB.Params()), AB.caveat_for(AB.Params(alpha=0))) == (f"+ KD; {remark}", remark)
