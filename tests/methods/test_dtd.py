import pytest
import torch
from pydantic import ValidationError

from kdbench_methods.dtd import DTD, temperatures
from tests.methods import reference as ref
from tests.methods.support import approx, assert_terms, case, check_gradient


def difficulty(z_s, z_t, weighting, gamma, features):
    """ω of one sample."""
    if weighting == "cwsm":
        return 1 / (max(ref.softmax(z_s)) + 1e-3)
    if features == "probabilities":
        v, t = ref.softmax(z_s), ref.softmax(z_t)
    else:
        v, t = ref.unit(z_s), ref.unit(z_t)
    return max(1 - ref.dot(v, t), 0.0) ** gamma


def taus(student, teacher, *, weighting="flsw", tau0=4.0, beta=None, gamma=1.0, features="logits", low=1.0, high=20.0):
    """τ_i of every sample."""
    beta = {"flsw": 10.0, "cwsm": 0.1}[weighting] if beta is None else beta
    omegas = [
        difficulty(z_s, z_t, weighting, gamma, features)
        for z_s, z_t in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    mean = ref.mean(omegas)
    return [min(max(tau0 + (mean - omega) * beta, low), high) for omega in omegas]


VARIANTS = {
    "default": {},
    "flsw probabilities": {"features": "probabilities", "beta": 40.0},
    "flsw fractional": {"gamma": 0.25, "beta": 40.0},
    "flsw squared": {"gamma": 2.0, "tau0": 6.0},
    "cwsm": {"weighting": "cwsm"},
    "cwsm clamped": {"weighting": "cwsm", "beta": 2.0},
    "constant": {"beta": 0.0},
}


@pytest.mark.parametrize("params", VARIANTS.values(), ids=VARIANTS)
def test_terms_equal_the_formula(params):
    method, student, teacher, batch = case(DTD, **params)
    expected = taus(student.logits, teacher.logits, **params)
    rows = zip(student.logits, teacher.logits, expected, strict=True)
    divergences = [tau**2 * ref.kl_of_logits(z_t, z_s, tau) for z_s, z_t, tau in rows]
    assert temperatures(student.logits, teacher.logits, method.params).tolist() == approx(expected)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.mean(divergences),
    )


def test_the_clamp_is_reached_and_can_be_moved():
    logits, others = (
        torch.randn(64, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (1, 2)
    )
    wide = temperatures(logits, others, DTD.Params(beta=40.0))
    assert wide.min().item() == 1.0
    assert wide.max().item() == 20.0
    narrow = temperatures(logits, others, DTD.Params(beta=40.0, tau_min=3.0, tau_max=5.0))
    assert (narrow.min().item(), narrow.max().item()) == (3.0, 5.0)
    with pytest.raises(ValidationError, match=r"tau_min 6\.0 is greater than tau_max 5\.0"):
        DTD.Params(tau_min=6.0, tau_max=5.0)


def test_harder_samples_get_lower_temperatures():
    teacher = torch.tensor([[4.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    student = torch.tensor([[4.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for weighting in ("flsw", "cwsm"):
        easy, hard = temperatures(student, teacher, DTD.Params(weighting=weighting)).tolist()
        assert hard < 4.0 < easy


def test_a_fractional_power_of_equal_logits_is_finite():
    logits = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    assert temperatures(logits, logits, DTD.Params(gamma=0.25)).isfinite().all()


def test_without_tau_squared_each_sample_loses_its_factor():
    method, student, teacher, batch = case(DTD, tau_squared=False)
    expected = taus(student.logits, teacher.logits)
    rows = zip(student.logits, teacher.logits, expected, strict=True)
    mean = ref.mean([ref.kl_of_logits(z_t, z_s, tau) for z_s, z_t, tau in rows])
    assert method.terms(student, teacher, batch)["kd"].item() == approx(mean)


def test_temperatures_are_constants_to_the_gradient():
    """d/dz_S of τ²·kl is τ·(p_S - p_T) for a fixed τ."""
    method, student, teacher, batch = case(DTD)
    method.terms(student, teacher, batch)["kd"].backward()
    expected = taus(student.logits, teacher.logits)
    rows = zip(student.logits.tolist(), teacher.logits.tolist(), expected, student.logits.grad.tolist(), strict=True)
    for z_s, z_t, tau, gradient in rows:
        p_s, p_t = ref.softmax(z_s, tau), ref.softmax(z_t, tau)
        assert gradient == approx([tau * (a - b) / len(expected) for a, b in zip(p_s, p_t, strict=True)])


def test_weights():
    assert DTD.weights(DTD.Params(alpha=0)) == {"ce": 1.0, "kd": 0.0}


def test_gradient_at_a_constant_temperature():
    check_gradient(*case(DTD, beta=0.0), "logits")
