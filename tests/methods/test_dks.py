import math

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d

from kdbench.model import Outputs
from kdbench_architectures import NETWORKS
from kdbench_methods.dks import DKS
from kdbench_methods.dks_heads import twice_as_wide
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient, shallow_heads
from tests.support import STUDENT, TEACHER, build_method

ARCHITECTURES = {architecture.name: architecture for architecture in NETWORKS}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_terms_equal_the_formula(pair, tau):
    method, student, teacher, batch = case(DKS, pair, tau=tau)
    shallow = [head.logits for head in shallow_heads(method, student)]
    logits = [*shallow, student.logits]
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        ce_shallow=sum(ref.cross_entropy(z, batch.labels) for z in shallow),
        synergy=sum(ref.kd(learner, other, tau) for learner in logits for other in logits if learner is not other),
    )


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_a_classifier_is_moved_as_learner_and_not_as_target(tau):
    """d/dz_L of Σ_m τ²·KL(p_m ‖ p_L) is τ·Σ_m (p_L - p_m) for each sample; as a target z_L adds nothing."""
    method, student, teacher, batch = case(DKS, tau=tau)
    shallow = [head.logits.tolist() for head in shallow_heads(method, student)]
    method.terms(student, teacher, batch)["synergy"].backward()
    for i, row in enumerate(student.logits.tolist()):
        ours = ref.softmax(row, tau)
        others = [ref.softmax(z[i], tau) for z in shallow]
        for k, gradient in enumerate(student.logits.grad[i].tolist()):
            assert gradient == approx(tau * sum(ours[k] - p[k] for p in others) / len(batch.labels))


def test_weights():
    assert DKS.weights(DKS.Params(alpha=0)) == {"ce": 1.0, "ce_shallow": 1.0, "synergy": 0.0}


def test_it_needs_no_teacher():
    method, student, _, batch = case(DKS)
    assert method.needs.teacher == ()
    assert method.terms(student, Outputs("teacher"), batch).keys() == {"ce", "ce_shallow", "synergy"}


def test_gradient_without_synergy():
    check_gradient(*case(DKS, alpha=0.0), "logits", "stages")


def authors_head(state, x, widths):
    """The authors' head for a WRN by operations on weights: a group of blocks for each of `widths`, given as (width,
    blocks), the first block of each halving the map; then batch norm, ReLU, mean over places and a linear layer.
    """

    def normed(x, name):
        return batch_norm(x, None, None, state[f"{name}.weight"], state[f"{name}.bias"], training=True).relu()

    for group, (width, blocks) in enumerate(widths):
        for number in range(blocks):
            at, stride = f"stages.{group}.{number}", 1 if number else 2
            activated = normed(x, f"{at}.bn1")
            y = conv2d(activated, state[f"{at}.conv1.weight"], stride=stride, padding=1)
            y = conv2d(normed(y, f"{at}.bn2"), state[f"{at}.conv2.weight"], padding=1)
            x = y + (x if number else conv2d(activated, state[f"{at}.shortcut.weight"], stride=stride))
            assert x.shape[1] == width
    pooled = normed(x, "head.neck.0").mean(dim=(2, 3))
    return pooled @ state["head.classifier.weight"].T + state["head.classifier.bias"]


@pytest.mark.parametrize(("name", "blocks", "width"), [("wrn_16_2", 2, 2), ("wrn_40_1", 6, 1)])
def test_the_authors_heads(name, blocks, width):
    network = ARCHITECTURES[name]
    method = build_method(DKS, network, heads="authors")
    groups = [[(32 * width, blocks), (64 * width, blocks // 2)], [(128 * width, blocks)]]
    generator = torch.Generator().manual_seed(0)
    for branch, widths, (channels, size, _) in zip(method.branches, groups, network.shapes(5, 8).stages, strict=False):
        stage = torch.randn(4, channels, size, size, generator=generator, dtype=torch.float64)
        expected = authors_head(branch.state_dict(), stage, widths)
        torch.testing.assert_close(branch(stage), expected, rtol=1e-9, atol=1e-12)
        # No block is there that the formula does not use.
        used = {f"stages.{group}.{number}" for group, (_, count) in enumerate(widths) for number in range(count)}
        assert {key.rpartition(".")[0].rpartition(".")[0] for key in branch.stages.state_dict(prefix="stages.")} == used


def test_the_authors_wide_head_is_drawn_as_the_network():
    torch.manual_seed(0)
    convolutions = [
        m
        for m in build_method(DKS, ARCHITECTURES["wrn_16_2"], heads="authors").branches[1].modules()
        if hasattr(m, "groups")
    ]
    assert [m.out_channels for m in convolutions] == [256] * 5
    for convolution in convolutions:
        expected = math.sqrt(2 / convolution.weight[:, 0].numel())
        assert convolution.weight.std().item() == pytest.approx(
            expected, rel=5 / math.sqrt(2 * convolution.weight.numel())
        )


def test_terms_with_the_authors_heads():
    method, student, teacher, batch = case(DKS, (ARCHITECTURES["resnet14"], TEACHER), heads="authors")
    logits = [*(head.logits for head in shallow_heads(method, student)), student.logits]
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        ce_shallow=sum(ref.cross_entropy(z, batch.labels) for z in logits[:-1]),
        synergy=sum(ref.kd(learner, other, 1.0) for learner in logits for other in logits if learner is not other),
    )


def test_the_authors_heads_are_for_networks_that_have_what_they_change():
    declined = DKS.decline(DKS.Params(heads="authors"), STUDENT.shapes(5, 8), None)
    assert declined == "the authors' heads are for students of 3 stages, not 4"
    assert DKS.decline(DKS.Params(), STUDENT.shapes(5, 8), None) is None
    for name, sentence in (("resnet8", "has not two"), ("ShuffleV2", "has others")):
        with pytest.raises(ValueError, match=sentence):
            build_method(DKS, ARCHITECTURES[name], heads="authors")


@pytest.mark.parametrize("other", [{"groups": 2}, {"bias": True}, {"dilation": 2}, {"padding_mode": "reflect"}])
def test_a_convolution_that_the_authors_networks_do_not_have_is_not_widened_to_another(other):
    branch = nn.Sequential(nn.Conv2d(4, 4, 3, **({"bias": False} | other)))
    with pytest.raises(ValueError, match="has others"):
        twice_as_wide(branch, 2)
