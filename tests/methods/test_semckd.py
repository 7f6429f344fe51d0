"""SemCKD: attention and loss against Python loops over all pairs of stages."""

import math

import pytest
import torch

from kdbench_methods.semckd import SemCKD
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case


def query(embedding, maps, size):
    """Embedded rows of the similarity matrix at unit length: linear - ReLU - linear."""
    rows = ref.flat(maps)
    similarities = [[ref.dot(a, b) for b in rows] + [0.0] * (size - len(rows)) for a in rows]
    hidden = [[max(x, 0.0) for x in ref.linear(row, embedding[0])] for row in similarities]
    return [ref.unit(ref.linear(row, embedding[2])) for row in hidden]


def reference(method, ours, theirs):
    p, total = method.params, 0.0
    queries = [query(e, f, method.batch_size) for e, f in zip(method.queries, ours, strict=True)]
    keys = [query(e, f, method.batch_size) for e, f in zip(method.keys, theirs, strict=True)]
    for s, stage in enumerate(ours):
        for i in range(len(stage)):
            energies = [ref.dot(queries[s][i], key[i]) for key in keys]
            powers = [math.exp(energy / p.attention_temperature) for energy in energies]
            for t, target in enumerate(theirs):
                error = errors(method.regressors[s * len(theirs) + t], stage, target)[i]
                total += powers[t] / sum(powers) * error
    return total / (len(ours) * len(ours[0]))


def errors(regressor, ours, theirs):
    """Mean squared error of each sample between the regressed student map and the teacher's."""
    ours, theirs = ref.pool_larger(ours, theirs)
    return [ref.square_error(*pair) for pair in zip(regressor(ours), theirs, strict=True)]


@pytest.mark.parametrize("batch_size", [4, 8])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_terms(batch_size, temperature):
    method, student, teacher, batch = case(SemCKD, batch=4, batch_size=batch_size, attention_temperature=temperature)
    assert len(method.regressors) == 4 * 3
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        semckd=reference(method, student.stages, teacher.stages),
    )


def test_attention_sums_to_one_and_trains():
    method, student, teacher, batch = case(SemCKD, batch_size=8)
    attention = method.attention(student.stages, teacher.stages)
    assert attention.shape == (6, 4, 3)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(6, 4, dtype=torch.float64))
    method.terms(student, teacher, batch)["semckd"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())


def test_default_weights():
    assert SemCKD.weights(SemCKD.Params()) == {"ce": 1.0, "kd": 1.0, "semckd": 400.0}


def test_a_short_batch_is_trained_on_or_skipped():
    assert not SemCKD.needs_for(SemCKD.Params()).full_batches
    assert SemCKD.needs_for(SemCKD.Params(short_batch="skip")).full_batches
