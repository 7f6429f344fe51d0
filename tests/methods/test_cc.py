"""CC against Python loops."""

import torch

from kdbench_methods.cc import CC
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case


def test_terms():
    method, student, teacher, batch = case(CC, dim=5)
    ours = [ref.linear(x, method.embed_student) for x in ref.flat(student.embedding)]
    theirs = [ref.linear(x, method.embed_teacher) for x in ref.flat(teacher.embedding)]
    delta = [[abs(a - b) for a, b in zip(x, y, strict=True)] for x, y in zip(ours, theirs, strict=True)]
    expected = ref.mean([ref.dot(delta[i], delta[i + 1]) for i in range(len(delta) - 1)])
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        cc=expected,
    )


def test_both_embeddings_train():
    method, student, teacher, batch = case(CC)
    method.terms(student, teacher, batch)["cc"].backward()
    assert all(p.grad.abs().sum() > 0 for p in method.parameters())
    assert len(list(method.parameters())) == 4


def test_is_zero_where_the_embedded_networks_agree():
    method, student, teacher, batch = case(CC)
    for layer in (method.embed_student, method.embed_teacher):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    assert method.terms(student, teacher, batch)["cc"].item() == 0


def test_a_batch_of_one_has_no_neighbours():
    method, student, teacher, batch = case(CC, batch=1)
    assert method.terms(student, teacher, batch)["cc"].item() == 0


def test_default_weights():
    assert CC.weights(CC.Params()) == {"ce": 1.0, "kd": 1.0, "cc": 0.02}
