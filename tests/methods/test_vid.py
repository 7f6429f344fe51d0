import math

import pytest
import torch

from kdbench_methods.vid import VID
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case, check_gradient


def likelihood(gaussian, ours, theirs):
    """mean [½·((μ - f_T)²/σ² + ln σ²)] of one pair of maps, element by element."""
    ours, theirs = ref.pool_larger(ours, theirs)
    first, _, second, _, third = gaussian.mean
    mean = ref.pointwise(first, ours)
    mean = ref.pointwise(second, mean.clamp(min=0))
    mean = ref.pointwise(third, mean.clamp(min=0))
    total, elements = 0.0, 0
    for c, rho in enumerate(gaussian.rho.flatten().tolist()):
        variance = math.log(1 + math.exp(rho)) + 1e-5
        for mu, f in zip(mean[:, c].flatten().tolist(), theirs[:, c].flatten().tolist(), strict=True):
            total += 0.5 * ((mu - f) ** 2 / variance + math.log(variance))
            elements += 1
    return total / elements


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms_equal_the_formula(pair):
    method, student, teacher, batch = case(VID, pair)
    with torch.no_grad():
        for gaussian in method.gaussians:
            gaussian.rho.uniform_(-3, 3)
    triples = list(zip(method.gaussians, student.stages, teacher.stages, strict=False))
    assert len(triples) == len(method.gaussians) == min(len(student.stages), len(teacher.stages))
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        likelihood=sum(likelihood(*triple) for triple in triples),
    )


def test_the_variance_starts_at_5_and_is_learned():
    method, student, teacher, batch = case(VID)
    rho = method.gaussians[0].rho
    assert rho.flatten()[0].item() == pytest.approx(math.log(math.exp(5 - 1e-5) - 1), abs=1e-6)
    assert any(rho is parameter for parameter in method.parameters())
    method.terms(student, teacher, batch)["likelihood"].backward()
    assert (rho.grad != 0).all()


@pytest.mark.parametrize("variance", [0.01, 5.0, 2000.0])
def test_any_initial_variance_is_met(variance):
    method, student, *_ = case(VID, variance=variance)
    _, actual = method.gaussians[0](student.stages[0])
    assert actual.flatten()[0].item() == pytest.approx(variance, rel=1e-5)


def test_the_mean_is_of_three_convolutions_without_bias():
    method, *_ = case(VID)
    shapes = [tuple(p.shape) for name, p in method.gaussians[0].named_parameters() if name.startswith("mean")]
    assert shapes == [(6, 4, 1, 1), (6, 6, 1, 1), (6, 6, 1, 1)]


def test_weights():
    assert VID.weights(VID.Params()) == {"ce": 1.0, "kd": 1.0, "likelihood": 1.0}


def test_gradient():
    check_gradient(*case(VID), "logits", "stages")
