"""Cross-entropy and KD of the same logits: what most methods with a KD term compute for each batch."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses.backend import Backend, compute
from kdbench.losses.kd import kd
from kdbench.losses.precision import accumulation


def ce_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """(CE(z_S, y), τ²·KL(softmax(z_T/τ) ‖ softmax(z_S/τ))) of raw logits [B, K], two scalars.

    Both are means over the batch. Labels are classes 0 to K-1, [B] int64, none is ignored, or class probabilities
    [B, K], for which the cross-entropy is PyTorch's. Finite for any finite logits.
    """
    if labels.is_floating_point():
        ce = cross_entropy(accumulation(student_logits), labels)
        return ce, kd(student_logits, teacher_logits, tau, tau_squared=tau_squared, backend=backend)
    ce, kl = compute("ce_kd", (student_logits,), (teacher_logits, labels), float(tau), tau_squared, backend=backend)
    return ce, kl
