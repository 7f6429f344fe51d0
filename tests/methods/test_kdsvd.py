"""KDSVD against LAPACK's singular vectors and loops, and what squaring makes of maps that LAPACK stumbles over."""

import math

import pytest
import torch

from kdbench_methods.kdsvd import KDSVD, singular_vectors
from tests.methods import reference as ref
from tests.methods.support import (
    PAIRS,
    SIBLING,
    assert_terms,
    case,
    check_gradient,
    leaves,
    mapped,
    pinned,
    prints,
    replaced,
    weighted_sum,
)
from tests.support import STUDENT, TEACHER

SAME = PAIRS["same network"]


def lapack(f, count):
    """Right singular vectors of a map [C, H, W] as rows with a sum of at least 0, and singular values."""
    _, values, vectors = torch.linalg.svd(f.flatten(1).T, full_matrices=False)
    rows = [[-x for x in row] if sum(row) < 0 else row for row in vectors[:count].tolist()]
    return rows, values[:count].tolist()


def distance(ours, theirs, k):
    """Σ_l>1 Σ (R_l^S − R_l^T)² of one sample's stages."""
    before, total = None, 0.0
    for f_s, f_t in zip(ours, theirs, strict=True):
        candidates, _ = lapack(f_s, k + 3)
        targets, values = lapack(f_t, k)
        now = []
        for target, weight in zip(targets, ref.unit(values), strict=True):
            best = max(candidates, key=lambda v: abs(ref.dot(v, target)))
            sign = math.copysign(1, ref.dot(best, target))
            now.append(([sign * weight * x for x in best], [weight * x for x in target]))
        for (v_s, v_t), (b_s, b_t) in zip(now, before or (), strict=False):
            for a_s, a_t in zip(v_s, v_t, strict=True):
                for c_s, c_t in zip(b_s, b_t, strict=True):
                    total += (math.exp(-((a_s - c_s) ** 2) / 8) - math.exp(-((a_t - c_t) ** 2) / 8)) ** 2
        before = now
    return total


def apart(outputs):
    """Each channel half as strong as the one before: singular values that squaring tells apart to the last digit."""
    stages = (f.detach() * 0.5 ** torch.arange(f.shape[1])[:, None, None] for f in outputs.stages)
    return replaced(outputs, stages=tuple(f.requires_grad_() for f in stages))


@pytest.mark.parametrize("k", [1, 2])
def test_terms_equal_the_formula(k):
    method, student, teacher, batch = case(KDSVD, SAME, k=k)
    student, teacher = apart(student), apart(teacher)
    samples = zip(zip(*student.stages, strict=True), zip(*teacher.stages, strict=True), strict=True)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        svd=ref.mean([distance(*sample, k) for sample in samples]),
    )


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, (7.02168683302, 0.782446108894, -0.189233735763)), (2, (27.8537019776, 14.5123264098, -7.47034157384))],
)
def test_numbers_of_repdistillers_code_with_signs_by_the_sum(k, expected):
    """Of |waves|, since waves themselves have two singular vectors only; and of a weight by which the term counts."""
    method, student, teacher, batch = pinned(KDSVD, SAME, k=k, beta=1e4)

    def positive(outputs):
        stages = (f.detach().abs().requires_grad_(f.requires_grad) for f in outputs.stages)
        return replaced(outputs, stages=tuple(stages))

    actual = prints(method, positive(student), positive(teacher), batch)
    assert tuple(actual.values()) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("size", [(5, 3, 3), (9, 2, 2), (4, 1, 1)])
def test_the_vectors_are_lapacks_for_tall_and_wide_matrices(size):
    f = torch.randn(3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vectors, values = singular_vectors(f, 4)
    for sample, rows, found in zip(f, vectors.mT, values, strict=True):
        expected, lengths = lapack(sample, 4)
        torch.testing.assert_close(rows, torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(found, torch.tensor(lengths, dtype=torch.float64) / sample.norm())


def test_equal_singular_values_have_a_finite_gradient():
    f = torch.eye(4).view(1, 4, 2, 2).requires_grad_()
    vectors, _ = singular_vectors(f, 3)
    vectors[:, 0].sum().backward()
    assert f.grad.isfinite().all()


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 1e4])
@pytest.mark.parametrize("alike", ["samples", "channels", "nothing"])
def test_loss_and_gradient_are_finite(scale, alike):
    method, student, teacher, batch = case(KDSVD, SAME)
    same = {"samples": lambda x: x[:1], "channels": lambda x: x[:, :1], "nothing": lambda x: x}[alike]

    def changed(outputs):
        return mapped(outputs, lambda x: (same(x) * scale).expand_as(x).detach().float().requires_grad_())

    student = changed(student)
    loss = weighted_sum(method, method.terms(student, changed(teacher), batch))
    loss.backward()
    assert loss.isfinite()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves(student))


def test_a_student_like_its_teacher_has_nothing_to_learn():
    method, _, teacher, batch = case(KDSVD, SAME)
    assert method.terms(teacher, teacher, batch)["svd"].item() == pytest.approx(0, abs=1e-12)


def test_decline():
    shapes = {name: network.shapes(5, 8) for name, network in (("s", STUDENT), ("t", TEACHER), ("o", SIBLING))}
    assert KDSVD.decline(KDSVD.Params(), shapes["t"], shapes["t"]) is None
    assert KDSVD.decline(KDSVD.Params(), shapes["o"], shapes["t"]) == (
        "singular vectors over channels compare equal numbers of them; there are [4, 5, 6] and [6, 8, 10]"
    )


def test_gradient():
    check_gradient(*case(KDSVD, SAME), "logits", "stages")


def test_weights_and_remark():
    assert KDSVD.weights(KDSVD.Params()) == {"ce": 1.0, "kd": 1.0, "svd": 1.0}
    assert (KDSVD.caveat_for(KDSVD.Params()), KDSVD.caveat_for(KDSVD.Params(alpha=0))) == ("+ KD", "")
