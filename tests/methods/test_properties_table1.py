"""What must hold for every method of Table 1, its relatives and others on features and logits, whatever the numbers."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from kdbench.checks.recorder import NotedBatch, NotedOutputs
from kdbench.method import Batch
from kdbench_methods.ab import AB
from kdbench_methods.at import AT
from kdbench_methods.byot import BYOT
from kdbench_methods.cat_kd import CATKD
from kdbench_methods.ctkd import CTKD
from kdbench_methods.dist import DIST
from kdbench_methods.dks import DKS
from kdbench_methods.dskd import DSKD
from kdbench_methods.dsn import DSN
from kdbench_methods.dtd import DTD
from kdbench_methods.fitnet import FitNet
from kdbench_methods.ft import FT
from kdbench_methods.ickd import ICKD
from kdbench_methods.ka import KA
from kdbench_methods.ka_dtd import KADTD
from kdbench_methods.kd import KD
from kdbench_methods.lskd import LSKD
from kdbench_methods.mlld import MLLD
from kdbench_methods.mtkd_ssr import MTKDSSR
from kdbench_methods.nkd import NKD
from kdbench_methods.normkd import NormKD
from kdbench_methods.ofd import OFD
from kdbench_methods.sdd import SDD
from kdbench_methods.sdd_dkd import SDDDKD
from kdbench_methods.srrl import SRRL
from kdbench_methods.student import Student
from kdbench_methods.ttm import TTM
from kdbench_methods.vid import VID
from kdbench_methods.wttm import WTTM
from tests.methods.support import approx, leaves, mapped, weighted_sum
from tests.support import STUDENT, TEACHER, build_method, declared, random_batch, random_outputs

VARIANTS = {
    "student": (Student, {}),
    "kd": (KD, {}),
    "fitnet": (FitNet, {}),
    "at": (AT, {}),
    "vid": (VID, {}),
    "dsn": (DSN, {}),
    "dsn decaying": (DSN, {"decay_epochs": 10, "reduction": "mean", "heads": "linear"}),
    "byot": (BYOT, {}),
    "byot norm": (BYOT, {"distance": "norm", "lam": 0.03}),
    "dks": (DKS, {}),
    "ka": (KA, {}),
    "ka lsr": (KA, {"adjust": "lsr"}),
    "dtd": (DTD, {}),
    "dtd fractional": (DTD, {"gamma": 0.25, "beta": 40.0}),
    "dtd probabilities": (DTD, {"features": "probabilities"}),
    "dtd cwsm": (DTD, {"weighting": "cwsm"}),
    "ka_dtd": (KADTD, {}),
    "ka_dtd lsr": (KADTD, {"adjust": "lsr", "weighting": "cwsm"}),
    "mtkd_ssr": (MTKDSSR, {}),
    "mtkd_ssr spatial": (MTKDSSR, {"scd": "spatial", "crd": "last", "teacher_heads": "final"}),
    "mtkd_ssr crd": (MTKDSSR, {"srd": False, "scd": "off"}),
    "dist": (DIST, {}),
    "lskd": (LSKD, {}),
    "ttm": (TTM, {}),
    "wttm": (WTTM, {}),
    "nkd": (NKD, {}),
    "normkd": (NormKD, {}),
    "sdd": (SDD, {}),
    "sdd_dkd": (SDDDKD, {}),
    "ctkd": (CTKD, {}),
    "mlld": (MLLD, {}),
    "dskd": (DSKD, {}),
    "dskd none": (DSKD, {"blocks": ()}),
    "dskd attached": (DSKD, {"detach_weights": False, "feature_tap": "embedding"}),
    "dskd per batch": (DSKD, {"weights_per": "batch", "feature_tap": "last_stage", "projector": "conv1x1"}),
    "dskd bilinear": (DSKD, {"resize": "bilinear"}),
    "ab": (AB, {}),
    "cat_kd": (CATKD, {}),
    "ofd": (OFD, {}),
    "ft": (FT, {}),
    "ft whole": (FT, {"factor": "whole"}),
    "srrl": (SRRL, {}),
    "srrl embedding": (SRRL, {"connect": "embedding"}),
    "ickd": (ICKD, {}),
}
TEACHER_FREE = {"student", "dsn", "dsn decaying", "byot", "byot norm", "dks", "mtkd_ssr crd"}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@cache
def built(variant, networks=(STUDENT, TEACHER)):
    method, params = VARIANTS[variant]
    return build_method(method, *networks, **params)


def moved(outputs, change):
    """The same outputs with `change` applied to every tensor, as leaves that require a gradient."""
    return mapped(outputs, lambda x: change(x.detach()).requires_grad_())


@every_variant
def test_needs_are_exactly_what_is_read_and_terms_are_those_of_weights(variant):
    method = built(variant)
    needs = method.needs_for(method.params)
    student, teacher = random_outputs(STUDENT), random_outputs(TEACHER)
    student, teacher, batch = declared(method, student, teacher, random_batch())
    student, teacher, batch = NotedOutputs(student), NotedOutputs(teacher), NotedBatch(batch)
    terms = method.terms(student, teacher, batch)
    assert student.read == set(needs.student)
    assert teacher.read == set(needs.teacher)
    assert batch.read == set(needs.batch)
    assert terms.keys() == method.weights(method.params).keys() <= method.formula.keys()
    assert all(term.shape == () for term in terms.values())


@every_variant
def test_teacher_free_methods_declare_no_teacher(variant):
    method = built(variant)
    assert (method.needs_for(method.params).teacher == ()) == (variant in TEACHER_FREE)


@every_variant
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1e-4, 1.0, 50.0, 1e4]),
    teacher_scale=st.sampled_from([0.0, 1e-4, 1.0, 50.0, 1e4]),
    half=st.sampled_from([torch.float16, torch.bfloat16]),
)
@settings(max_examples=8)
def test_loss_and_gradient_are_finite(variant, seed, scale, teacher_scale, half):
    """For logits and features up to ±1e4, in values that half precision can hold."""
    method = built(variant)

    student = moved(random_outputs(STUDENT, seed=seed), lambda x: (x * scale).clamp(-1e4, 1e4).to(half).float())
    teacher = moved(
        random_outputs(TEACHER, seed=seed + 1), lambda x: (x * teacher_scale).clamp(-1e4, 1e4).to(half).float()
    )
    student, teacher, batch = declared(method, student, teacher, random_batch(seed=seed))
    method.float()
    loss = weighted_sum(method, method.terms(student, teacher, batch))
    gradients = torch.autograd.grad(loss, [*leaves(student), *method.parameters()], allow_unused=True)
    method.double()
    assert loss.dtype is torch.float32
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)


@every_variant
@given(order=st.permutations(range(6)), seed=st.integers(0, 100))
@settings(max_examples=4)
def test_the_order_of_the_batch_does_not_matter(variant, order, seed):
    method = built(variant)
    student, teacher = random_outputs(STUDENT, seed=seed), random_outputs(TEACHER, seed=seed + 1)
    student, teacher, batch = declared(method, student, teacher, random_batch(seed=seed))
    expected = method.terms(student, teacher, batch)
    student, teacher = (moved(outputs, lambda x: x[list(order)]) for outputs in (student, teacher))
    batch = Batch(batch.labels[list(order)], **batch._values)
    actual = method.terms(student, teacher, batch)
    assert {n: t.item() for n, t in actual.items()} == approx({n: t.item() for n, t in expected.items()})


@pytest.mark.parametrize(
    ("variant", "zero"),
    [
        ("kd", {"kd"}),
        ("fitnet", {"kd"}),
        ("at", {"kd", "attention"}),
        ("vid", {"kd"}),
        ("ka", {"kd"}),
        ("ka lsr", {"kd"}),
        ("dtd", {"kd"}),
        ("dtd cwsm", {"kd"}),
        ("ka_dtd", {"kd"}),
        ("lskd", {"kd"}),
        ("normkd", {"kd"}),
        ("ctkd", {"kd"}),
        ("mlld", {"instance", "batch", "class"}),
        ("dskd", {"kd_last"}),
    ],
)
@given(seed=st.integers(0, 1000))
@settings(max_examples=5)
def test_a_student_like_its_teacher_has_nothing_to_learn_from_it(variant, zero, seed):
    method = built(variant, (TEACHER, TEACHER))
    student, teacher, batch = declared(method, *[random_outputs(TEACHER, seed=seed)] * 2, random_batch())
    batch.labels.copy_(teacher.logits.argmax(dim=1))  # the teacher is right
    terms = method.terms(student, teacher, batch)
    assert {name for name, term in terms.items() if abs(term.item()) < 1e-12} == zero


def test_a_student_with_its_teachers_map_has_no_feature_loss():
    method = build_method(DSKD, TEACHER, TEACHER, projector="identity")
    terms = method.terms(*declared(method, *[random_outputs(TEACHER)] * 2, random_batch()))
    assert terms["fea_last"].item() == 0
    assert terms["fea_shallow"].item() > 0


@every_variant
def test_no_value_reaches_the_host(variant):
    """Tensors without values: whatever asks for one raises, so a step of this method can be captured and replayed."""
    method = built(variant)
    student, teacher, batch = declared(method, random_outputs(STUDENT), random_outputs(TEACHER), random_batch())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:

        def fake(outputs):
            return moved(outputs, mode.from_tensor)

        batch = Batch(mode.from_tensor(batch.labels), **{n: mode.from_tensor(v) for n, v in batch._values.items()})
        loss = weighted_sum(method, method.terms(fake(student), fake(teacher), batch))
        loss.backward()
    method.zero_grad(set_to_none=True)
    assert loss.shape == ()


@every_variant
def test_modules_in_bfloat16_give_a_float32_loss_near_the_float32_one(variant):
    method = built(variant).float()
    student, teacher, batch = declared(method, random_outputs(STUDENT), random_outputs(TEACHER), random_batch())
    student, teacher = (moved(outputs, torch.Tensor.float) for outputs in (student, teacher))
    full = method.terms(student, teacher, batch)
    method.precision = torch.bfloat16
    mixed = method.terms(student, teacher, batch)
    del method.precision
    method.double()
    assert all(term.dtype is torch.float32 for term in mixed.values())
    torch.testing.assert_close(mixed, full, rtol=0.05, atol=0.05)
