"""PKT against Python loops."""

import math

import torch

from kdbench_methods.pkt import EPSILON, PKT, neighbours
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case


def probabilities(vectors):
    kernel = [
        [(ref.dot(a, b) / ((ref.norm(a) + EPSILON) * (ref.norm(b) + EPSILON)) + 1) / 2 for b in vectors]
        for a in vectors
    ]
    return [[k / sum(row) for k in row] for row in kernel]


def test_terms():
    method, student, teacher, batch = case(PKT)
    ours, theirs = (probabilities(ref.flat(o.embedding)) for o in (student, teacher))
    pairs = [(q, p) for x, y in zip(ours, theirs, strict=True) for q, p in zip(x, y, strict=True)]
    expected = ref.mean([p * math.log((p + EPSILON) / (q + EPSILON)) for q, p in pairs])
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        pkt=expected,
    )


def test_gradient():
    vectors = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(neighbours, vectors)


def test_opposite_and_zero_vectors_stay_probabilities():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(1, 64, generator=generator) * torch.tensor([[1.0], [-1.0], [0.0], [-1e4]])
    vectors.requires_grad_()
    p = neighbours(vectors)
    (p + EPSILON).log().sum().backward()
    assert (p >= 0).all() and torch.allclose(p.sum(dim=1), torch.ones(4))
    assert vectors.grad.isfinite().all()


def test_default_weights():
    assert PKT.weights(PKT.Params()) == {"ce": 1.0, "kd": 1.0, "pkt": 30000.0}
