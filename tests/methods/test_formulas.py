"""What `kdbench show` prints of a term tells when a parameter makes another number of it."""

import pytest

from kdbench.formula import formula
from kdbench_methods.ab import AB
from kdbench_methods.byot import BYOT
from kdbench_methods.cat_kd import CATKD
from kdbench_methods.dskd import DSKD
from kdbench_methods.dsn import DSN
from kdbench_methods.dtd import DTD
from kdbench_methods.ft import FT
from kdbench_methods.ka_dtd import KADTD
from kdbench_methods.reviewkd import ReviewKD
from kdbench_methods.semckd import SemCKD
from kdbench_methods.srrl import SRRL
from tests.methods.support import case


@pytest.mark.parametrize(
    ("method", "params", "epoch"),
    [
        (AB, {"initial": 0.5}, 3),
        (AB, {"margin": 0.5}, 1),
        (BYOT, {"tau_squared": False}, 1),
        (CATKD, {"normalise": False}, 1),
        (CATKD, {"size": 4}, 1),
        (DSKD, {"tau_squared": False}, 1),
        (DSKD, {"adaptive": False}, 1),
        (DSKD, {"fea_from_epoch": 2}, 1),
        (DSN, {"decay_epochs": 4}, 2),
        (DTD, {"tau_squared": False}, 1),
        (FT, {"factor": "whole"}, 1),
        (KADTD, {"tau_squared": False}, 1),
        (ReviewKD, {"warmup_from": 0}, 2),
        (SemCKD, {"attention_temperature": 0.5}, 1),
        (SRRL, {"connect": "embedding"}, 1),
    ],
    ids=lambda value: getattr(value, "name", None) or str(value),
)
def test_the_lines_of_the_terms_that_change_change_as_well(method, params, epoch):
    values, lines = [], []
    for chosen in ({}, params):
        built, *rest = case(method, epoch=epoch, **chosen)
        values.append({name: term.item() for name, term in built.terms(*rest).items()})
        lines.append(dict(zip(built.weights(built.params), formula(method, built.params).splitlines(), strict=True)))
    changed = [name for name in values[0] if values[0][name] != values[1][name]]
    assert changed and all(lines[0][name] != lines[1][name] for name in changed)
