"""Losses and gradients equal those that the authors' own code gave, in float64, on the inputs of `pinned`."""

import pytest

from kdbench_methods.dist import DIST
from kdbench_methods.lskd import LSKD
from tests.methods.support import pinned, prints

#: Method, parameters, epoch: total, the gradient's length and its product with waves.
NUMBERS = [
    (DIST, {}, 1, (69.278229992, 6.30330269216, -0.339932541657)),
    (DIST, {"tau": 1.0}, 1, (6.82748333941, 0.704795574804, -0.04028313378)),
    (LSKD, {}, 1, (6.59592578615, 0.512675604589, -0.375327125529)),
    (LSKD, {"tau": 3.0, "alpha": 1.0}, 1, (0.975260609754, 0.0755078722549, -0.0154315194523)),
]


@pytest.mark.parametrize(("method", "params", "epoch", "expected"), NUMBERS)
def test_numbers_of_the_authors_code(method, params, epoch, expected):
    assert tuple(prints(*pinned(method, epoch=epoch, **params)).values()) == pytest.approx(expected, rel=1e-9)
