"""DSKD's weights of single samples against its own loss terms."""

import pytest
import torch

from kdbench.losses import kd
from kdbench_methods.dskd import DSKD
from tests.support import STUDENT, TEACHER, build_method, declared, random_batch, random_outputs


def diagnosed(**params):
    method = build_method(DSKD, **params).eval()
    student, teacher, batch = declared(method, random_outputs(STUDENT), random_outputs(TEACHER, seed=1), random_batch())
    return method, student, teacher, method.diagnose(student, teacher, batch), method.terms(student, teacher, batch)


def test_weights_sum_to_one_over_the_blocks_and_give_the_loss_term():
    method, student, teacher, found, terms = diagnosed()
    assert set(found) == {f"W^{kind}_{block}" for kind in ("KD", "F") for block in (1, 2, 3)}
    for kind in ("KD", "F"):
        weights = torch.stack([found[f"W^{kind}_{block}"] for block in (1, 2, 3)])
        assert weights.shape == (3, 6)
        torch.testing.assert_close(weights.sum(dim=0), torch.ones(6, dtype=torch.float64))
    losses = torch.stack([kd(head.logits, teacher.logits, 4.0, reduction="none") for head in method.shallow(student)])
    weights = torch.stack([found[f"W^KD_{block}"] for block in (1, 2, 3)])
    torch.testing.assert_close((weights * losses).sum(dim=0).mean(), terms["kd_shallow"])


def test_variants_tell_what_they_weigh():
    assert set(diagnosed(fea=False, blocks=(2,))[3]) == {"W^KD_2"}
    assert diagnosed(blocks=())[3] == {}
    equal = diagnosed(adaptive=False)[3]
    assert all(value.tolist() == pytest.approx([1 / 3] * 6) for value in equal.values())
    ones = diagnosed(adaptive=False, equal_weight="one")[3]
    assert len(ones) == 6 and all(value.tolist() == pytest.approx([1] * 6) for value in ones.values())
