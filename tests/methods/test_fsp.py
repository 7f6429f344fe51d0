"""FSP: flow matrices in loops, which pairs have them, and the two parts of a run."""

from itertools import pairwise

import pytest

from kdbench_methods.fsp import FSP
from tests.methods import reference as ref
from tests.methods.support import PAIRS, SIBLING, assert_terms, case, check_gradient
from tests.support import STUDENT, TEACHER, tiny_architecture

#: As TEACHER but for its size: stages 2 and 3 are larger.
FINER = tiny_architecture("tiny_finer", (6, 8, 10), (1, 1, 2))


def flow(before, after):
    """Mean product over places of each channel of `after` with each of `before`, sample by sample."""
    pairs = [maps.flatten(2).tolist() for maps in ref.pool_larger(before, after)]
    return [ref.dot(a, b) / len(a) for befores, afters in zip(*pairs, strict=True) for a in afters for b in befores]


@pytest.mark.parametrize("pair", [PAIRS["same network"], (FINER, TEACHER)])
def test_the_first_part_teaches_the_flow_alone(pair):
    method, student, teacher, batch = case(FSP, pair, epoch=2)
    expected = 0.0
    for ours, theirs in zip(*(pairwise((o.stem, *o.stages)) for o in (student, teacher)), strict=True):
        rows = flow(*ours), flow(*theirs)
        expected += ref.mean([(s - t) ** 2 for s, t in zip(*rows, strict=True)])
    assert_terms(method.terms(student, teacher, batch), ce=0, kd=0, feature=expected)


def test_the_second_part_classifies_alone():
    method, student, teacher, batch = case(FSP, PAIRS["same network"], epoch=3)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        feature=0,
    )


def test_decline():
    shapes = {network.name: network.shapes(5, 8) for network in (STUDENT, TEACHER, SIBLING, FINER)}
    params = FSP.Params()
    assert FSP.decline(params, shapes["tiny_finer"], shapes["tiny_teacher"]) is None
    assert FSP.decline(params, shapes["tiny_sibling"], shapes["tiny_teacher"]) == (
        "flow matrices compare equal numbers of channels; stem and stages have [4, 4, 5, 6] and [4, 6, 8, 10]"
    )


def test_gradient():
    check_gradient(*case(FSP, PAIRS["same network"]), "stem", "stages")


def test_weights_and_remark():
    assert FSP.weights(FSP.Params()) == {"ce": 1.0, "kd": 1.0, "feature": 1.0}
    assert FSP.caveat_for(FSP.Params()) == "+ KD; initialises within the run, RepDistiller in 30 epochs before it"
