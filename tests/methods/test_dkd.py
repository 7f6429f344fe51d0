"""DKD against Python loops, its identity with KD, and extreme logits."""

import pytest
import torch

from kdbench.losses import kd
from kdbench_methods.dkd import DKD, decouple
from tests.methods import reference as ref
from tests.methods.support import case, replaced


def reference(student, teacher, batch, tau):
    target, others = [], []
    for z_s, z_t, y in zip(ref.flat(student.logits), ref.flat(teacher.logits), batch.labels.tolist(), strict=True):
        p_s, p_t = ref.softmax(z_s, tau), ref.softmax(z_t, tau)
        target.append(tau**2 * ref.kl([p_t[y], 1 - p_t[y]], [p_s[y], 1 - p_s[y]]))
        hat_s, hat_t = (ref.softmax(z[:y] + z[y + 1 :], tau) for z in (z_s, z_t))
        others.append(tau**2 * ref.kl(hat_t, hat_s))
    return ref.mean(target), ref.mean(others)


@pytest.mark.parametrize(("epoch", "warmup"), [(1, 0.05), (7, 0.35), (20, 1.0), (240, 1.0)])
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_terms(epoch, warmup, tau):
    method, student, teacher, batch = case(DKD, epoch=epoch, tau=tau)
    terms = method.terms(student, teacher, batch)
    target, others = reference(student, teacher, batch, tau)
    assert terms["tckd"].item() == pytest.approx(warmup * target, rel=1e-6)
    assert terms["nckd"].item() == pytest.approx(warmup * others, rel=1e-6)
    assert terms["ce"].item() == pytest.approx(ref.cross_entropy(student.logits, batch.labels), rel=1e-10)


def test_one_epoch_of_warm_up_is_none():
    method, student, teacher, batch = case(DKD, epoch=1, warmup_epochs=1)
    assert method.terms(student, teacher, batch)["tckd"].item() == pytest.approx(
        reference(student, teacher, batch, 4.0)[0], rel=1e-10
    )


def test_parts_add_up_to_kd():
    """KD = TCKD + (1 − p_T,y)·NCKD for each sample, the paper's reformulation."""
    _, student, teacher, batch = case(DKD)
    (b_s, o_s), (b_t, o_t) = (decouple(o.logits, batch.labels, 4.0) for o in (student, teacher))
    rest = (b_t / 4).softmax(dim=1)[:, 1]
    parts = kd(b_s, b_t, reduction="none") + rest * kd(o_s, o_t, reduction="none")
    torch.testing.assert_close(parts, kd(student.logits, teacher.logits, reduction="none"))


def test_gradient():
    method, student, teacher, batch = case(DKD, batch=3)

    def loss(logits):
        terms = method.terms(replaced(student, logits=logits), teacher, batch)
        return terms["tckd"] + terms["nckd"]

    assert torch.autograd.gradcheck(loss, student.logits.detach().requires_grad_())


@pytest.mark.parametrize("gap", [70.0, 400.0, 1e4])
def test_extreme_logits(gap):
    """A gap of 400 makes log(softmax) infinite in float32; both terms are then about τ times the gap."""
    logits = torch.zeros(2, 5)
    logits[:, 0] = gap
    logits.requires_grad_()
    target = torch.zeros(2, 5)
    for labels in (torch.tensor([0, 0]), torch.tensor([1, 1])):
        pairs = zip(decouple(logits, labels, 4.0), decouple(target, labels, 4.0), strict=True)
        loss = sum(kd(ours, theirs) for ours, theirs in pairs)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite() and loss > gap
        assert gradient.isfinite().all() and gradient.abs().sum() > 0


def test_default_weights():
    assert DKD.weights(DKD.Params()) == {"ce": 1.0, "tckd": 1.0, "nckd": 8.0}
