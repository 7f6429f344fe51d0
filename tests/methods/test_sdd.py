"""SDD, with KD's term and with DKD's, against Python loops over regions and samples."""

import pytest
import torch

from kdbench_methods.sdd import SDD, regions
from kdbench_methods.sdd_dkd import SDDDKD
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient, replaced


def cells(maps, finest):
    """Logits of each region, those of the whole map first, each [B, K]."""
    for side in (1, 2, 4)[: {2: 2, 4: 3}[finest]]:
        pooled = ref.pool(maps, side, side)
        yield from (pooled[:, :, i, j] for i in range(side) for j in range(side))


def kl(z_s, z_t, y, tau):
    return ref.kl_of_logits(z_t, z_s, tau)


def tckd(z_s, z_t, y, tau):
    p_s, p_t = ref.softmax(z_s.tolist(), tau)[y], ref.softmax(z_t.tolist(), tau)[y]
    return ref.kl([p_t, 1 - p_t], [p_s, 1 - p_s])


def nckd(z_s, z_t, y, tau):
    z_s, z_t = (z[:y] + z[y + 1 :] for z in (z_s.tolist(), z_t.tolist()))
    return ref.kl(ref.softmax(z_t, tau), ref.softmax(z_s, tau))


def expected(student, teacher, batch, *, finest=4, tau=4.0, complementary=2.0, divergence=kl):
    losses = []
    for ours, theirs in zip(cells(student.class_maps, finest), cells(teacher.class_maps, finest), strict=True):
        whole = teacher.class_maps.mean(dim=(2, 3))
        for z_s, z_t, z, y in zip(ours, theirs, whole, batch.labels.tolist(), strict=True):
            agree = (z_t.argmax() == y) == (z.argmax() == y)
            losses.append((1 if agree else complementary) * tau**2 * divergence(z_s, z_t, y, tau))
    return ref.mean(losses)


@pytest.mark.parametrize("params", [{}, {"finest": 2, "tau": 2.0}, {"complementary": 5.0}], ids=str)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms_equal_the_formula(pair, params):
    method, student, teacher, batch = case(SDD, pair, **params)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=expected(student, teacher, batch, **params),
    )


@pytest.mark.parametrize(("epoch", "warmup"), [(5, 0.25), (30, 1.0)])
@pytest.mark.parametrize("params", [{}, {"finest": 2, "tau": 2.0}], ids=str)
def test_dkds_terms_equal_the_formula(params, epoch, warmup):
    method, student, teacher, batch = case(SDDDKD, epoch=epoch, **params)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        tckd=warmup * expected(student, teacher, batch, divergence=tckd, **params),
        nckd=warmup * expected(student, teacher, batch, divergence=nckd, **params),
    )


def test_every_kind_of_region_was_among_them():
    _, _, teacher, batch = case(SDD, PAIRS["deeper student"])
    right = regions(teacher.class_maps, 4).argmax(dim=2) == batch.labels
    assert {(bool(a), bool(b)) for row in right[1:] for a, b in zip(row, right[0], strict=True)} == {
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    }


def test_regions_of_a_map_smaller_than_the_grid_are_copies():
    maps = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert regions(maps, 4).flatten().tolist() == [1.5, 0, 1, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]


def test_constant_maps_are_kd():
    method, student, teacher, batch = case(SDD)
    ours, theirs = (x.class_maps.mean(dim=(2, 3)) for x in (student, teacher))
    for outputs, logits in ((student, ours), (teacher, theirs)):
        outputs._values["class_maps"] = logits[:, :, None, None].expand(-1, -1, 4, 4)
    assert method.terms(student, teacher, batch)["kd"].item() == approx(ref.kd(ours, theirs, 4.0))


def test_defaults():
    assert SDD.weights(SDD.Params()) == {"ce": 0.1, "kd": 0.9}
    assert SDDDKD.weights(SDDDKD.Params()) == {"ce": 1.0, "tckd": 1.0, "nckd": 8.0}


@pytest.mark.parametrize("method", [SDD, SDDDKD])
def test_gradient(method):
    check_gradient(*case(method, batch=3), "class_maps")


def test_a_student_like_its_teacher_has_nothing_to_learn_from_it():
    method, _, teacher, batch = case(SDD, PAIRS["same network"])
    student = replaced(teacher, logits=teacher.class_maps.mean(dim=(2, 3)))
    assert method.terms(student, teacher, batch)["kd"].item() == approx(0)
