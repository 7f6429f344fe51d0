import pytest
import torch

from kdbench_methods.adjustment import shifted, smoothed
from kdbench_methods.ka import KA
from tests.methods import reference as ref
from tests.methods.support import approx, assert_terms, case, check_gradient


def adjusted(row, label, adjust, tau, smoothing):
    """A(p^τ) of one row of logits, on probabilities."""
    p = ref.softmax(row, tau)
    top = p.index(max(p))
    if top == label:
        return p
    if adjust == "ps":
        p[top], p[label] = p[label], p[top]
        return p
    return [smoothing if k == label else (1 - smoothing) / (len(p) - 1) for k in range(len(p))]


def adjusted_kd(student, teacher, labels, taus, adjust, smoothing=0.9):
    """mean_i τ_i²·kl_i(A(p_T^{τ_i}) ‖ p_S^{τ_i})."""
    losses = [
        tau**2 * ref.kl(adjusted(z_t, y, adjust, tau, smoothing), ref.softmax(z_s, tau))
        for z_s, z_t, y, tau in zip(student.tolist(), teacher.tolist(), labels.tolist(), taus, strict=True)
    ]
    return ref.mean(losses)


def half_right(teacher, batch):
    """Set labels such that the teacher is right for the first half of the batch alone."""
    predicted = teacher.logits.argmax(dim=1)
    half = len(predicted) // 2
    batch.labels[:half] = predicted[:half]
    batch.labels[half:] = (predicted[half:] + 1) % teacher.logits.shape[1]


@pytest.mark.parametrize("adjust", ["ps", "lsr"])
@pytest.mark.parametrize("smoothing", [0.9, 0.6])
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_terms_equal_the_formula(adjust, smoothing, tau):
    method, student, teacher, batch = case(KA, adjust=adjust, smoothing=smoothing, tau=tau)
    half_right(teacher, batch)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=adjusted_kd(student.logits, teacher.logits, batch.labels, [tau] * len(batch.labels), adjust, smoothing),
    )


def test_shift_swaps_in_wrong_rows_and_leaves_the_teacher_untouched():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0], [7.0, 7.0, 1.0]])
    before = logits.clone()
    assert shifted(logits, torch.tensor([0, 2, 1])).tolist() == [[3, 1, 2], [0, 4, 5], [7, 7, 1]]
    assert torch.equal(logits, before)


def test_smoothed_rows_are_the_label_at_their_own_temperature():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]], dtype=torch.float64)
    tau = torch.tensor([2.0, 7.0], dtype=torch.float64)
    rows = smoothed(logits, torch.tensor([0, 2]), tau, 0.8)
    assert rows[0].tolist() == [3, 1, 2]
    assert ref.softmax(rows[1].tolist(), 7.0) == approx([0.1, 0.1, 0.8])


def test_weights():
    assert KA.weights(KA.Params()) == {"ce": 1.0, "kd": 1.0}
    assert KA.weights(KA.Params(ce_weight=0, alpha=2)) == {"ce": 0.0, "kd": 2.0}


@pytest.mark.parametrize("adjust", ["ps", "lsr"])
def test_gradient(adjust):
    check_gradient(*case(KA, adjust=adjust), "logits")
