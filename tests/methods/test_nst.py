"""NST against Python loops, at unequal sizes and numbers of stages."""

import pytest
import torch

from kdbench_methods.nst import NST, discrepancy
from tests.methods import loops


def mmd(ours, theirs):
    """Mean over samples of the discrepancy between two sets of channels, [sample][channel][place]."""

    def kernel(a, b):
        return loops.mean([loops.dot(loops.unit(x), loops.unit(y)) ** 2 for x in a for y in b])

    return loops.mean([kernel(t, t) + kernel(s, s) - 2 * kernel(s, t) for s, t in zip(ours, theirs, strict=True)])


def test_terms():
    method, student, teacher, batch = loops.case(NST, batch=3)
    terms = method.terms(student, teacher, batch)
    assert len(student.stages) == 4 and len(teacher.stages) == 3
    pairs = [loops.smaller(student.stages[j], teacher.stages[j]) for j in range(3)]
    assert terms["nst"].item() == pytest.approx(sum(mmd(*pair) for pair in pairs), rel=1e-10)
    assert terms["kd"].item() == pytest.approx(loops.kd(student, teacher), rel=1e-10)
    assert terms["ce"].item() == pytest.approx(loops.cross_entropy(student, batch), rel=1e-10)


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(2, c, 2, 2, dtype=torch.float64, generator=generator) for c in (3, 2))
    assert torch.autograd.gradcheck(lambda x: discrepancy(x, theirs), ours.requires_grad_())


def test_dead_channels_have_no_gradient():
    maps = torch.ones(2, 3, 2, 2)
    maps[:, 1] = 0
    maps.requires_grad_()
    discrepancy(maps, torch.arange(16.0).view(2, 2, 2, 2)).backward()
    assert (maps.grad[:, 1] == 0).all() and maps.grad.isfinite().all()


def test_default_weights():
    assert NST.weights(NST.Params()) == {"ce": 1.0, "kd": 1.0, "nst": 50.0}
