"""Methods on features: losses and gradients equal those that the originals' code gave, in float64, on the inputs of
`pinned`.

The code, and by how much its term and the method's differed at most, relative to the loss and to a gradient's greatest
element with respect to the student's features and the method's modules, on 8 to 104 random cases of `PAIRS`:

    fsp, ab, ft     HobbitLong/RepDistiller b84f547                         6e-16
    kdsvd           HobbitLong/RepDistiller b84f547                         8e-11, its vectors' signs fixed as ours are
    ofd             megvii-research/mdistiller a08d46f                      4e-16, margins (there in float32) 6e-8;
                    clovaai/overhaul-distillation 76344a8                   2e-16 on maps of equal size
    srrl            jingyang2017/KD_SRRL d2e802f                            3e-16
    ickd            ADLab-AutoDrive/ICKD 403b8d3                            3e-16
    cat_kd          GzyAftermath/CAT-KD 4467073                             7e-16
"""

import pytest

from kdbench_methods.ab import AB
from kdbench_methods.fsp import FSP
from kdbench_methods.ft import FT
from kdbench_methods.ickd import ICKD
from kdbench_methods.ofd import OFD
from kdbench_methods.srrl import SRRL
from tests.methods.support import PAIRS, pinned, prints

#: Method, parameters, pair: total, the gradient's length and its product with waves.
NUMBERS = [
    (AB, {}, "equal stages", (0.665868649671, 0.104651629132, -0.0378181494159)),
    (AB, {}, "deeper teacher", (0.128151024654, 0.0428306869888, -0.136049320541)),
    (FSP, {}, "same network", (23.9998961653, 0.436257676116, 0.140227840946)),
    (FT, {}, "equal stages", (34.6034056659, 75.515479965, 292.673272133)),
    (FT, {}, "coarse student", (34.2501405592, 747.560123428, -1405.04424237)),
    (FT, {"factor": "whole", "beta": 500.0}, "equal stages", (99.2999698781, 101.539876577, 373.479106931)),
    (OFD, {"beta": 1.0}, "equal stages", (482.269958446, 44.264966461, -74.1065470287)),
    (OFD, {"beta": 1.0}, "deeper student", (36.1277734604, 9.37504471435, -3.95690561308)),
    (SRRL, {}, "deeper student", (15.6044343339, 2.04529536491, -1.56524556594)),
    (SRRL, {}, "deeper teacher", (15.5619082766, 3.18444428982, -0.272606131856)),
    (ICKD, {}, "deeper student", (10.2401857452, 1.55848561313, 2.35133492274)),
    (ICKD, {}, "equal stages", (9.17104252406, 16.7238838435, 41.7638609486)),
]


@pytest.mark.parametrize(("method", "params", "pair", "expected"), NUMBERS)
def test_numbers_of_the_originals_code(method, params, pair, expected):
    assert tuple(prints(*pinned(method, PAIRS[pair], **params)).values()) == pytest.approx(expected, rel=1e-9)
