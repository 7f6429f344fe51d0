"""CC against Python loops."""

import pytest
import torch

from kdbench_methods.cc import CC
from tests.methods import loops


def test_terms():
    method, student, teacher, batch = loops.case(CC, dim=5)
    terms = method.terms(student, teacher, batch)
    ours = [loops.linear(x, method.embed_student) for x in loops.flat(student.embedding)]
    theirs = [loops.linear(x, method.embed_teacher) for x in loops.flat(teacher.embedding)]
    delta = [[abs(a - b) for a, b in zip(x, y, strict=True)] for x, y in zip(ours, theirs, strict=True)]
    expected = loops.mean([loops.dot(delta[i], delta[i + 1]) for i in range(len(delta) - 1)])
    assert terms["cc"].item() == pytest.approx(expected, rel=1e-10)
    assert terms["kd"].item() == pytest.approx(loops.kd(student, teacher), rel=1e-10)
    assert terms["ce"].item() == pytest.approx(loops.cross_entropy(student, batch), rel=1e-10)


def test_both_embeddings_train():
    method, student, teacher, batch = loops.case(CC)
    method.terms(student, teacher, batch)["cc"].backward()
    assert all(p.grad.abs().sum() > 0 for p in method.parameters())
    assert len(list(method.parameters())) == 4


def test_is_zero_where_the_embedded_networks_agree():
    method, student, teacher, batch = loops.case(CC)
    for layer in (method.embed_student, method.embed_teacher):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    assert method.terms(student, teacher, batch)["cc"].item() == 0


def test_a_batch_of_one_has_no_neighbours():
    method, student, teacher, batch = loops.case(CC, batch=1)
    assert method.terms(student, teacher, batch)["cc"].item() == 0


def test_default_weights():
    assert CC.weights(CC.Params()) == {"ce": 1.0, "kd": 1.0, "cc": 0.02}
