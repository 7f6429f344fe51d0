"""CTKD against Python loops, and the reversed gradient of its temperature."""

import math

import pytest
import torch

from kdbench_methods.ctkd import CTKD
from tests.methods import reference as ref
from tests.methods.support import approx, assert_terms, case, check_gradient


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("theta", [-2.0, 1.0])
def test_terms_equal_the_formula(theta):
    method, student, teacher, batch = case(CTKD)
    method.theta.data.fill_(theta)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 1 + 20 * sigmoid(theta)),
    )


@pytest.mark.parametrize(("epoch", "strength"), [(1, 0.0244717), (5, 0.5), (10, 1.0), (240, 1.0)])
def test_theta_climbs_the_loss_as_steeply_as_the_curriculum_allows(epoch, strength):
    method, student, teacher, batch = case(CTKD, epoch=epoch)
    method.terms(student, teacher, batch)["kd"].backward()

    def loss(theta):
        return ref.kd(student.logits, teacher.logits, 1 + 20 * sigmoid(theta))

    slope = (loss(1 + 1e-5) - loss(1 - 1e-5)) / 2e-5
    assert slope != 0
    assert method.theta.grad.item() == pytest.approx(-strength * slope, rel=1e-5)


def test_theta_starts_at_1_and_is_trained():
    method, *_ = case(CTKD)
    assert [name for name, parameter in method.named_parameters() if parameter.requires_grad] == ["theta"]
    assert method.theta.item() == 1
    assert method.temperature(torch.tensor(1.0)).item() == approx(1 + 20 * sigmoid(1))


def test_defaults():
    assert CTKD.weights(CTKD.Params()) == {"ce": 0.1, "kd": 0.9}


def test_gradient():
    check_gradient(*case(CTKD), "logits")
