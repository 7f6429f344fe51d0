"""SP against Python loops."""

import pytest
import torch

from kdbench_methods.sp import SP
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, replaced


def reference(ours, theirs):
    def similarities(features):
        return [ref.unit([ref.dot(a, b) for b in features]) for a in features]

    pairs = zip(similarities(ref.flat(ours)), similarities(ref.flat(theirs)), strict=True)
    return sum((a - b) ** 2 for x, y in pairs for a, b in zip(x, y, strict=True)) / len(ours) ** 2


@pytest.mark.parametrize("tap", ["last_stage", "final_map"])
def test_terms(tap):
    method, student, teacher, batch = case(SP, tap=tap)
    maps = (o.stages[-1] if tap == "last_stage" else o.final_map for o in (student, teacher))
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        sp=reference(*maps),
    )


def test_gradient():
    method, student, teacher, batch = case(SP, batch=4)

    def loss(final):
        changed = replaced(student, stages=(*student.stages[:-1], final))
        return method.terms(changed, teacher, batch)["sp"]

    assert torch.autograd.gradcheck(loss, student.stages[-1].detach().requires_grad_())


def test_default_weights():
    assert SP.weights(SP.Params()) == {"ce": 1.0, "kd": 1.0, "sp": 3000.0}
