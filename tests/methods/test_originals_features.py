"""Methods on features: losses and gradients equal those that the originals' code gave, in float64, on the inputs of
`pinned`.
"""

import pytest

from kdbench_methods.ab import AB
from kdbench_methods.ft import FT
from kdbench_methods.ickd import ICKD
from kdbench_methods.ofd import OFD
from kdbench_methods.srrl import SRRL
from tests.methods.support import PAIRS, pinned, prints

#: Method, parameters, pair: total, the gradient's length and its product with waves.
NUMBERS = [
    (AB, {}, "equal stages", (0.665868649671, 0.104651629132, -0.0378181494159)),
    (AB, {}, "deeper teacher", (0.128151024654, 0.0428306869888, -0.136049320541)),
    (FT, {}, "equal stages", (55.9816656578, 55.9338144022, -137.460840373)),
    (FT, {}, "coarse student", (37.6197117571, 373.497841537, 266.628691934)),
    (FT, {"factor": "whole", "beta": 500.0}, "equal stages", (111.325420461, 91.3326753169, -3.87012270409)),
    (OFD, {"beta": 1.0}, "equal stages", (482.269958446, 44.264966461, -74.1065470287)),
    (OFD, {"beta": 1.0}, "deeper student", (36.1277734604, 9.37504471435, -3.95690561308)),
    (SRRL, {}, "deeper student", (15.7138075949, 1.92782791358, 1.55803562445)),
    (SRRL, {}, "deeper teacher", (15.4810922657, 3.53891507443, 0.795488879309)),
    (ICKD, {}, "deeper student", (10.2401857452, 1.55848561313, 2.35133492274)),
    (ICKD, {}, "equal stages", (9.17104252406, 16.7238838435, 41.7638609486)),
]


@pytest.mark.parametrize(("method", "params", "pair", "expected"), NUMBERS)
def test_numbers_of_the_originals_code(method, params, pair, expected):
    assert tuple(prints(*pinned(method, PAIRS[pair], **params)).values()) == pytest.approx(expected, rel=1e-9)
