"""SP against Python loops."""

import pytest
import torch

from kdbench_methods.sp import SP
from tests.methods import loops


def reference(ours, theirs):
    def similarities(features):
        return [loops.unit([loops.dot(a, b) for b in features]) for a in features]

    pairs = zip(similarities(loops.flat(ours)), similarities(loops.flat(theirs)), strict=True)
    return sum((a - b) ** 2 for x, y in pairs for a, b in zip(x, y, strict=True)) / len(ours) ** 2


@pytest.mark.parametrize("tap", ["last_stage", "final_map"])
def test_terms(tap):
    method, student, teacher, batch = loops.case(SP, tap=tap)
    terms = method.terms(student, teacher, batch)
    maps = (o.stages[-1] if tap == "last_stage" else o.final_map for o in (student, teacher))
    assert terms["sp"].item() == pytest.approx(reference(*maps), rel=1e-10)
    assert terms["kd"].item() == pytest.approx(loops.kd(student, teacher), rel=1e-10)
    assert terms["ce"].item() == pytest.approx(loops.cross_entropy(student, batch), rel=1e-10)


def test_gradient():
    method, student, teacher, batch = loops.case(SP, batch=4)

    def loss(final):
        changed = loops.replaced(student, stages=(*student.stages[:-1], final))
        return method.terms(changed, teacher, batch)["sp"]

    assert torch.autograd.gradcheck(loss, student.stages[-1].detach().requires_grad_())


def test_default_weights():
    assert SP.weights(SP.Params()) == {"ce": 1.0, "kd": 1.0, "sp": 3000.0}
