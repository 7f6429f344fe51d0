"""NST against Python loops, at unequal sizes and numbers of stages."""

import torch

from kdbench_methods.nst import NST, discrepancy
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case


def mmd(ours, theirs):
    """Mean over samples of the discrepancy between the channels of two maps, the larger pooled to the smaller."""

    def kernel(a, b):
        return ref.mean([ref.dot(ref.unit(x), ref.unit(y)) ** 2 for x in a for y in b])

    channels = (maps.flatten(2).tolist() for maps in ref.pool_larger(ours, theirs))
    return ref.mean([kernel(t, t) + kernel(s, s) - 2 * kernel(s, t) for s, t in zip(*channels, strict=True)])


def test_terms():
    method, student, teacher, batch = case(NST, batch=3)
    assert len(student.stages) == 4 and len(teacher.stages) == 3
    pairs = zip(student.stages, teacher.stages, strict=False)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        nst=sum(mmd(*pair) for pair in pairs),
    )


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


def test_its_numbers_say_that_they_are_with_kd():
    """The authors' rows are without."""
    assert NST.caveat_for(NST.Params()) == "+ KD"
    assert NST.caveat_for(NST.Params(alpha=0)) == ""
