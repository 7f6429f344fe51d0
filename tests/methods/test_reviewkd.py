"""ReviewKD: fusion with its weights spelled out, context loss against Python loops, levels from the deep end."""

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d

from kdbench.model import Outputs
from kdbench_methods.reviewkd import ReviewKD, hcl
from tests.methods import reference as ref
from tests.methods.support import PAIRS, case, replaced
from tests.support import build_method


def context_loss(ours, theirs):
    """Σ_k 2^-k·MSE at the map's own size, 4, 2 and 1 (those below its own), over the sum of the weights used."""
    size = ours.shape[2]
    total = weights = 0.0
    for k, side in enumerate([size, *(s for s in (4, 2, 1) if s < size)]):
        total += 0.5**k * ref.square_error(ref.pool(ours, side, side), ref.pool(theirs, side, side))
        weights += 0.5**k
    return total / weights


def nearest(x, size):
    place = [[i * old // new for i in range(new)] for old, new in zip(x.shape[2:], size, strict=True)]
    return x[:, :, place[0]][:, :, :, place[1]]


def normed(x, convolution, norm):
    """Convolution and batch norm with the batch's own statistics."""
    x = conv2d(x, convolution.weight, padding=convolution.padding)
    return batch_norm(x, None, None, norm.weight, norm.bias, training=True)


def reviewed(method, maps, sizes):
    """U_n, …, U_1: each level's map mixed with what the deeper one left."""
    left = None
    for fusion, x, size in reversed(list(zip(method.fusions, maps, sizes, strict=True))):
        x = normed(x, *fusion.reduce)
        if left is not None:
            left = nearest(left, x.shape[2:])
            z = conv2d(torch.cat([x, left], dim=1), fusion.attention[0].weight, fusion.attention[0].bias).sigmoid()
            x = x * z[:, 0].unsqueeze(1) + left * z[:, 1].unsqueeze(1)
        left = nearest(x, size)
        yield normed(left, *fusion.expand)


@pytest.mark.parametrize(
    ("epoch", "params", "warmup"),
    [(5, {}, 0.25), (30, {}, 1.0), (1, {"warmup_from": 0}, 0.0), (6, {"warmup_from": 0}, 0.25)],
)
@pytest.mark.parametrize("pair", ["deeper student", "deeper teacher"])
def test_terms(epoch, params, warmup, pair):
    method, student, teacher, batch = case(ReviewKD, PAIRS[pair], batch=4, epoch=epoch, **params)
    terms = method.terms(student, teacher, batch)
    maps = [*student.stages[-3:], student.embedding[:, :, None, None]]
    targets = [*teacher.stages[-3:], teacher.embedding[:, :, None, None]]
    results = reviewed(method, maps, [t.shape[2:] for t in targets])
    expected = warmup * sum(context_loss(u, t) for u, t in zip(results, reversed(targets), strict=True))
    assert terms["review"].item() == pytest.approx(expected, rel=1e-6)
    assert terms["kd"].item() == pytest.approx(ref.kd(student.logits, teacher.logits, 4.0), rel=1e-10)
    assert terms["ce"].item() == pytest.approx(ref.cross_entropy(student.logits, batch.labels), rel=1e-10)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_context_loss(size):
    generator = torch.Generator().manual_seed(size)
    ours, theirs = (torch.randn(2, 3, size, size, dtype=torch.float64, generator=generator) for _ in range(2))
    assert hcl(ours, theirs).item() == pytest.approx(context_loss(ours, theirs), rel=1e-10)
    assert torch.autograd.gradcheck(lambda x: hcl(x, theirs), ours.requires_grad_())


def test_gradient_reaches_every_level_and_weight():
    method, student, teacher, batch = case(ReviewKD)
    student = replaced(
        student,
        stages=tuple(stage.detach().requires_grad_() for stage in student.stages),
        embedding=student.embedding.detach().requires_grad_(),
    )
    method.terms(student, teacher, batch)["review"].backward()
    assert student.stages[0].grad is None  # the student's surplus stage, at the shallow end
    used = [*student.stages[1:], student.embedding, *(p for n, p in method.named_parameters() if "bias" not in n)]
    assert all(tensor.grad.abs().sum() > 0 for tensor in used)


def test_only_the_deepest_level_has_nothing_to_fuse():
    method = build_method(ReviewKD)
    assert [fusion.attention is None for fusion in method.fusions] == [False, False, False, True]


def test_default_weights():
    assert ReviewKD.weights(ReviewKD.Params()) == {"ce": 1.0, "kd": 1.0, "review": 5.0}


def test_its_numbers_say_what_the_authors_do_otherwise():
    assert ReviewKD.caveat_for(ReviewKD.Params()) == f"+ KD; {ReviewKD.caveat}"
    assert ReviewKD.caveat_for(ReviewKD.Params(alpha=0)) == ReviewKD.caveat


def test_the_teachers_maps_before_the_relu_as_the_authors_have_them():
    method, student, teacher, batch = case(ReviewKD)
    moved = replaced(teacher, stages=tuple(stage.roll(1, 0) for stage in teacher.stages))
    expected = method.terms(student, moved, batch)["review"].item()
    method, student, teacher, batch = case(ReviewKD, tap="preactivations")
    handed = Outputs("teacher", logits=teacher.logits, embedding=teacher.embedding, preactivations=moved.stages)
    assert method.terms(student, handed, batch)["review"].item() == pytest.approx(expected)
    assert method.needs_for(method.params).teacher == ("logits", "preactivations", "embedding")
    assert ReviewKD.caveat_for(ReviewKD.Params(tap="preactivations", kd_term="none")) == ""
