"""RKD against Python loops, and its gradient where samples coincide."""

import pytest
import torch

from kdbench_methods.relations import angles, differences, distances
from kdbench_methods.rkd import RKD
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, replaced


def difference(a, b):
    return [y - x for x, y in zip(a, b, strict=True)]


def huber(x):
    return 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5


def psi_d(vectors):
    lengths = [[ref.norm(difference(a, b)) for b in vectors] for a in vectors]
    n = len(vectors)
    mean = sum(map(sum, lengths)) / (n * (n - 1))
    return [length / mean for row in lengths for length in row]


def psi_a(vectors):
    values = []
    for a in vectors:
        for b in vectors:
            for c in vectors:
                u, v = difference(a, b), difference(a, c)
                values.append(ref.dot(ref.unit(u), ref.unit(v)) if ref.norm(u) and ref.norm(v) else 0.0)
    return values


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_terms(scale):
    method, student, teacher, batch = case(RKD)
    student = replaced(student, embedding=student.embedding * scale)
    ours, theirs = ref.flat(student.embedding), ref.flat(teacher.embedding)

    def expected(psi):
        return ref.mean([huber(a - b) for a, b in zip(psi(ours), psi(theirs), strict=True)])

    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        distance=expected(psi_d),
        angle=expected(psi_a),
    )


@pytest.mark.parametrize("relation", [distances, angles])
def test_gradient(relation):
    vectors = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: relation(differences(x)), vectors)


@pytest.mark.parametrize("vectors", [torch.zeros(4, 3), torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]])])
def test_gradient_is_bounded_where_samples_coincide(vectors):
    vectors.requires_grad_()
    target = torch.randn(len(vectors), 5, generator=torch.Generator().manual_seed(0))
    loss = sum(
        torch.nn.functional.smooth_l1_loss(relation(differences(vectors)), relation(differences(target)))
        for relation in (distances, angles)
    )
    loss.backward()
    assert vectors.grad.abs().max() < 10


def test_default_weights():
    assert RKD.weights(RKD.Params()) == {"ce": 1.0, "kd": 1.0, "distance": 25.0, "angle": 50.0}
