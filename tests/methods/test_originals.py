"""Losses and gradients equal those that the authors' own code gave, in float64, on the inputs of `pinned`.

The code, and by how much it and the method differed at most, relative to the loss or to a gradient's greatest element,
on these inputs and on 40 random samples:

    dist            hunto/image_classification_sota d9662f7                 1e-16
    lskd            sunshangquan/logit-standardization-KD f6e5aa5           6e-16
    ttm, wttm       zkxufo/TTM fe457b3                                      3e-16
    nkd             yzd-v/cls_KD 1e5d48f                                    2e-16
    normkd          gizi1/NormKD 279371b                                    8e-16
    sdd, sdd_dkd    shicaiwei123/SDD-CVPR2024 e412036                       6e-16, and with the classifier's pass 2e-15
    mlld            Jin-Ying/Multi-Level-Logit-Distillation 5ee473f         3e-16, one view as both
    ctkd            zhengli97/CTKD 7d52522                                  3e-15, 4e-12 for θ's gradient
"""

import pytest

from kdbench_methods.ctkd import CTKD
from kdbench_methods.dist import DIST
from kdbench_methods.lskd import LSKD
from kdbench_methods.mlld import MLLD
from kdbench_methods.nkd import NKD
from kdbench_methods.normkd import NormKD
from kdbench_methods.sdd import SDD
from kdbench_methods.sdd_dkd import SDDDKD
from kdbench_methods.ttm import TTM
from kdbench_methods.wttm import WTTM
from tests.methods.support import pinned, prints

#: Method, parameters, epoch: total, the gradient's length and its product with waves.
NUMBERS = [
    (DIST, {}, 1, (69.278229992, 6.30330269216, -0.339932541657)),
    (DIST, {"tau": 1.0}, 1, (6.82748333941, 0.704795574804, -0.04028313378)),
    (LSKD, {}, 1, (6.59592578615, 0.512675604589, -0.375327125529)),
    (LSKD, {"tau": 3.0, "alpha": 1.0}, 1, (0.975260609754, 0.0755078722549, -0.0154315194523)),
    (TTM, {}, 1, (63.7962989143, 10.9399664206, 4.02534192164)),
    (TTM, {"gamma": 0.5, "beta": 3.0}, 1, (7.49930175577, 1.12462713131, 0.312780907413)),
    (WTTM, {}, 1, (19.0198985521, 3.17052495575, 0.826618053012)),
    (WTTM, {"gamma": 0.5, "beta": 3.0}, 1, (11.0902237514, 1.73122417387, 0.336211812899)),
    (NKD, {}, 1, (52.0734606121, 2.18225167761, 0.179866697032)),
    (NKD, {"tau": 1.0, "gamma": 1.5}, 1, (6.56613035939, 0.840402858926, 0.155985934018)),
    (NormKD, {}, 1, (3.97978291795, 0.294788978122, -0.328100779249)),
    (NormKD, {"t_norm": 1.5}, 1, (3.82550615355, 0.295611763856, -0.340564485187)),
    (SDD, {}, 1, (4.17542907441, 0.401913166644, -0.0930945009354)),
    (SDD, {"finest": 2, "tau": 2.0}, 1, (3.3235830438, 0.35759037394, -0.136540357433)),
    (SDDDKD, {}, 20, (37.8633156954, 4.21380319141, -7.99016719137)),
    (SDDDKD, {"finest": 2, "tau": 2.0}, 5, (9.64920925488, 1.03582209436, -1.94598969182)),
    (MLLD, {}, 1, (25.2693038094, 3.44099477582, 0.118239842053)),
    (CTKD, {}, 10, (3.89918417988, 0.491966954427, 0.0784956400355)),
]


@pytest.mark.parametrize(("method", "params", "epoch", "expected"), NUMBERS)
def test_numbers_of_the_authors_code(method, params, epoch, expected):
    assert tuple(prints(*pinned(method, epoch=epoch, **params)).values()) == pytest.approx(expected, rel=1e-9)
