import pytest
import torch

from kdbench_methods.at import AT, attention
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case, check_gradient


def attention_map(maps):
    """Q of one sample's map [C, H, W], place by place."""
    channels, height, width = maps.shape
    energy = [
        sum(maps[c, y, x].item() ** 2 for c in range(channels)) / channels for y in range(height) for x in range(width)
    ]
    return ref.unit(energy)


def distance(ours, theirs):
    """mean_{b,hw} (Q(f_S) - Q(f_T))² of two maps [B, C, H, W]."""
    ours, theirs = ref.pool_larger(ours, theirs)
    squares = [
        (q_s - q_t) ** 2
        for f_s, f_t in zip(ours, theirs, strict=True)
        for q_s, q_t in zip(attention_map(f_s), attention_map(f_t), strict=True)
    ]
    return ref.mean(squares)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms_equal_the_formula(pair):
    method, student, teacher, batch = case(AT, pair)
    pairs = list(zip(student.stages, teacher.stages, strict=False))
    assert len(pairs) == min(len(student.stages), len(teacher.stages))
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        attention=sum(distance(*pair) for pair in pairs),
    )


def test_weights():
    assert AT.weights(AT.Params()) == {"ce": 1.0, "kd": 1.0, "attention": 1000.0}


def test_dead_maps_have_a_finite_gradient():
    f = torch.zeros(2, 3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad((attention(f) - 1).square().sum(), f)
    assert torch.equal(gradient, torch.zeros_like(f))


def test_gradient():
    check_gradient(*case(AT), "logits", "stages")
