"""OFD: the partial distance in loops, and margins by integration."""

import math

import pytest
import torch
from torch import nn

from kdbench.model import StagedModel
from kdbench_methods.ofd import OFD, BatchMargin, NormMargin
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case, check_gradient
from tests.support import STUDENT, TEACHER, build_method

#: E[x | x < 0] of a standard normal, which is that of the tiny teachers' fresh batch norms.
STANDARD = -math.sqrt(2 / math.pi)


def distance(ours, theirs):
    """mean_b Σ of squares; a negative target stands no lower than the margin, and asks nothing of what is lower."""
    total = 0.0
    for s, t in zip(ours.flatten().tolist(), theirs.flatten().tolist(), strict=True):
        t = max(t, STANDARD)
        total += (s - t) ** 2 if t > 0 or s > t else 0
    return total / len(ours)


def brought(maps, height, width):
    """Averaged down to a size, or repeated up to it."""
    if height > maps.shape[2]:
        return maps.repeat_interleave(height // maps.shape[2], 2).repeat_interleave(width // maps.shape[3], 3)
    return ref.pool(maps, height, width)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms_equal_the_formula(pair):
    method, student, teacher, batch = case(OFD, pair)
    paired = min(len(student.preactivations), len(teacher.preactivations))
    expected = 0.0
    for number, (convolution, norm) in enumerate(method.connectors, 1):
        ours = norm(ref.pointwise(convolution, student.preactivations[number - paired - 1]))
        theirs = brought(teacher.preactivations[number - paired - 1], *ours.shape[2:])
        expected += 2.0 ** (number - paired) * distance(ours, theirs)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        feature=expected,
    )


def integrated(mean, std, steps=20_000):
    """E[x | x < 0] of a normal distribution as a sum over 8 standard deviations below 0."""
    step = 8 * std / steps
    xs = [-(n + 0.5) * step for n in range(steps)]
    density = [math.exp(-(((x - mean) / std) ** 2) / 2) for x in xs]
    return ref.dot(xs, density) / sum(density)


def test_margins_are_the_mean_of_what_is_negative():
    norm = nn.BatchNorm2d(5)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -0.5, 2.0, 0.1, 0.2]))
        norm.bias.copy_(torch.tensor([0.0, 0.3, -1.0, 1.0, 0.62]))
    first, second, third, fourth, fifth = NormMargin(norm).margin.tolist()
    assert [first, second, third] == pytest.approx(
        [STANDARD, integrated(0.3, 0.5), integrated(-1.0, 2.0, 40_000)], rel=1e-3
    )
    # All but never negative: three standard deviations below 0, in the authors' code.
    assert [fourth, fifth] == pytest.approx([-0.3, -0.6])


def test_a_channel_that_the_norm_has_closed_has_a_finite_margin():
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.zero_()
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    assert NormMargin(norm).margin.tolist() == pytest.approx([0, 0, -1], abs=1e-6)


def test_the_margins_are_those_of_the_stages_that_are_compared():
    method = build_method(OFD, TEACHER, STUDENT)
    assert [len(margin.margin) for margin in method.margins] == [5, 6, 7]
    assert not any("margin" in name for name in method.state_dict())


def test_without_a_batch_norm_margins_are_those_of_the_batch(monkeypatch):
    monkeypatch.setattr(StagedModel, "preactivation_norms", (None, None, None))
    method, student, teacher, batch = case(OFD)
    assert method.terms(student, teacher, batch)["feature"].isfinite()
    maps = teacher.preactivations[0].clone()
    maps[:, 2].abs_()
    expected = []
    for channel in maps.transpose(0, 1):
        negative = [x for x in channel.flatten().tolist() if x < 0]
        expected.append(ref.mean(negative) if negative else 0)
    for margin in method.margins:
        assert isinstance(margin, BatchMargin)
        assert margin(maps).tolist() == pytest.approx(expected)


def test_gradient():
    check_gradient(*case(OFD), "logits", "preactivations")


def test_weights_and_remark():
    assert OFD.weights(OFD.Params()) == {"ce": 1.0, "kd": 1.0, "feature": 0.001}
    assert (OFD.caveat_for(OFD.Params()), OFD.caveat_for(OFD.Params(alpha=0))) == ("+ KD", "")
