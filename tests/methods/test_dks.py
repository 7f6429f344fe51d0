import pytest

from kdbench.model import Outputs
from kdbench_methods.dks import DKS
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient, shallow_heads


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_terms_equal_the_formula(pair, tau):
    method, student, teacher, batch = case(DKS, pair, tau=tau)
    shallow = [head.logits for head in shallow_heads(method, student)]
    logits = [*shallow, student.logits]
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        ce_shallow=sum(ref.cross_entropy(z, batch.labels) for z in shallow),
        synergy=sum(ref.kd(learner, other, tau) for learner in logits for other in logits if learner is not other),
    )


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_a_classifier_is_moved_as_learner_and_not_as_target(tau):
    """d/dz_L of Σ_m τ²·KL(p_m ‖ p_L) is τ·Σ_m (p_L - p_m) for each sample; as a target z_L adds nothing."""
    method, student, teacher, batch = case(DKS, tau=tau)
    shallow = [head.logits.tolist() for head in shallow_heads(method, student)]
    method.terms(student, teacher, batch)["synergy"].backward()
    for i, row in enumerate(student.logits.tolist()):
        ours = ref.softmax(row, tau)
        others = [ref.softmax(z[i], tau) for z in shallow]
        for k, gradient in enumerate(student.logits.grad[i].tolist()):
            assert gradient == approx(tau * sum(ours[k] - p[k] for p in others) / len(batch.labels))


def test_weights():
    assert DKS.weights(DKS.Params(alpha=0)) == {"ce": 1.0, "ce_shallow": 1.0, "synergy": 0.0}


def test_it_needs_no_teacher():
    method, student, _, batch = case(DKS)
    assert method.needs.teacher == ()
    assert method.terms(student, Outputs("teacher"), batch).keys() == {"ce", "ce_shallow", "synergy"}


def test_gradient_without_synergy():
    check_gradient(*case(DKS, alpha=0.0), "logits", "stages")
