"""Losses and gradients equal those that RepDistiller's code gave, DKD's its authors', in float64, on the inputs of
`pinned`.
"""

import pytest

from kdbench_methods.at import AT
from kdbench_methods.cc import CC
from kdbench_methods.dkd import DKD
from kdbench_methods.fitnet import FitNet
from kdbench_methods.kd import KD
from kdbench_methods.kd_weighted import WeightedKD
from kdbench_methods.nst import NST
from kdbench_methods.pkt import PKT
from kdbench_methods.rkd import RKD
from kdbench_methods.sp import SP
from kdbench_methods.vid import VID
from tests.methods.support import PAIRS, pinned, prints

#: Method, pair, epoch: total, the gradient's length and its product with waves.
NUMBERS = [
    (KD, "deeper student", 1, (6.20867510075, 0.760830409793, 0.285238307559)),
    (WeightedKD, "deeper student", 1, (3.62762079491, 0.476567775399, 0.0378598346241)),
    (FitNet, "equal stages", 1, (467.363220382, 27.0690639538, 62.2665268444)),
    (FitNet, "deeper teacher", 1, (470.111428545, 49.6202341535, 22.087407906)),
    (AT, "deeper student", 1, (31.1628232974, 9.90126989264, -7.15036188413)),
    (AT, "equal stages", 1, (29.4231418869, 9.84665459156, -20.0415194686)),
    (SP, "deeper student", 1, (940.757362218, 31.5282717315, 361.858345519)),
    (RKD, "deeper student", 1, (8.95056369853, 2.85761965974, -5.33703616789)),
    (PKT, "deeper student", 1, (1003.4962201, 5.49252897395, 9.80263986371)),
    (NST, "equal stages", 1, (120.023239652, 2.10164720515, -8.8386168172)),
    (DKD, "deeper student", 20, (34.1687230623, 4.84284572197, 0.445396566338)),
    (CC, "deeper student", 1, (18.3143533209, 7.87385782689, 0.87303871907)),
    (VID, "deeper student", 1, (11.7466704846, 1.1341170035, 2.41415928315)),
]


@pytest.mark.parametrize(("method", "pair", "epoch", "expected"), NUMBERS)
def test_numbers_of_the_originals_code(method, pair, epoch, expected):
    assert tuple(prints(*pinned(method, PAIRS[pair], epoch=epoch)).values()) == pytest.approx(expected, rel=1e-9)
