"""CAT-KD: the class maps' distance in loops, and its numbers by the authors' code."""

import pytest
import torch

from kdbench_methods.cat_kd import CATKD
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case, check_gradient, pinned, prints
from tests.support import TEACHER, build_method


def pooled(maps, size):
    """Averaged down to a size, or repeated up to it: rows of places for each sample and class."""
    if size > maps.shape[2]:
        times = size // maps.shape[2]
        maps = maps.repeat_interleave(times, 2).repeat_interleave(times, 3)
    return ref.pool(maps, size, size).flatten(0, 1).flatten(1).tolist()


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize(("size", "normalise"), [(2, True), (4, True), (2, False)])
def test_terms_equal_the_formula(pair, size, normalise):
    method, student, teacher, batch = case(CATKD, pair, size=size, normalise=normalise)
    ours = pooled(student.class_maps, size)
    theirs = pooled(teacher.class_maps - method.bias[:, None, None], size)
    if normalise:
        ours, theirs = ([ref.unit(row) for row in rows] for rows in (ours, theirs))
    squares = [(a - b) ** 2 for s, t in zip(ours, theirs, strict=True) for a, b in zip(s, t, strict=True)]
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        cat=ref.mean(squares),
    )


@pytest.mark.parametrize(
    ("pair", "params", "expected"),
    [
        ("equal stages", {}, (210.31500374, 6.60397499985, -10.5423418335)),
        ("equal stages", {"size": 4}, (57.2352572606, 1.80788947197, -2.4216567277)),
        ("deeper student", {"normalise": False, "beta": 15.0}, (143.868554254, 12.6936480313, -1.48610752296)),
    ],
)
def test_numbers_of_the_authors_code(pair, params, expected):
    """Of class maps without a bias, in float64."""
    method, *handed = pinned(CATKD, PAIRS[pair], **params)
    method.bias.zero_()
    assert tuple(prints(method, *handed).values()) == pytest.approx(expected, rel=1e-9)


def test_the_bias_is_the_teachers():
    method = build_method(CATKD)
    torch.manual_seed(0)
    assert torch.equal(method.bias, TEACHER.build(5).double().head.classifier.bias)
    assert "bias" not in method.state_dict()


def test_gradient():
    check_gradient(*case(CATKD, PAIRS["equal stages"]), "logits", "class_maps")


def test_weights_and_remark():
    assert CATKD.weights(CATKD.Params()) == {"ce": 1.0, "kd": 1.0, "cat": 400.0}
    assert (CATKD.caveat_for(CATKD.Params()), CATKD.caveat_for(CATKD.Params(alpha=0))) == ("+ KD", "")
