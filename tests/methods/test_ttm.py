"""TTM and WTTM against Python loops, and their relation to KD."""

import pytest

from kdbench_methods.ttm import TTM
from kdbench_methods.wttm import WTTM
from tests.methods import reference as ref
from tests.methods.support import approx, assert_terms, case, check_gradient


def transformed(row, gamma):
    """p^γ of a sample's prediction p, and Σ_k p_k^γ."""
    powers = [p**gamma for p in ref.softmax(row)]
    return [power / sum(powers) for power in powers], sum(powers)


def expected(student, teacher, gamma, weighted):
    losses = []
    for z_s, z_t in zip(student.logits.tolist(), teacher.logits.tolist(), strict=True):
        target, smoothness = transformed(z_t, gamma)
        losses.append((smoothness if weighted else 1) * ref.kl(target, ref.softmax(z_s)))
    return ref.mean(losses)


@pytest.mark.parametrize("method", [TTM, WTTM])
@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0])
def test_terms_equal_the_formula(method, gamma):
    built, student, teacher, batch = case(method, gamma=gamma)
    assert_terms(
        built.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=expected(student, teacher, gamma, weighted=method is WTTM),
    )


@pytest.mark.parametrize("method", [TTM, WTTM])
def test_an_exponent_of_1_is_kd_at_temperature_1(method):
    built, student, teacher, batch = case(method, gamma=1.0)
    assert built.terms(student, teacher, batch)["kd"].item() == approx(ref.kd(student.logits, teacher.logits, 1.0))


@pytest.mark.parametrize(("method", "beta", "gamma"), [(TTM, 45.0, 0.1), (WTTM, 4.0, 0.2)])
def test_defaults(method, beta, gamma):
    assert method.weights(method.Params()) == {"ce": 1.0, "kd": beta}
    assert method.Params().gamma == gamma


@pytest.mark.parametrize("method", [TTM, WTTM])
def test_gradient(method):
    check_gradient(*case(method), "logits")
