"""Cross-entropy and KD of the same logits: what most methods with a KD term compute for each batch."""

from torch import Tensor

from kdbench.losses.backend import Backend, compute


def ce_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """(CE(z_S, y), τ²·KL(softmax(z_T/τ) ‖ softmax(z_S/τ))) of raw logits [B, K] and labels [B] int64, two scalars.

    Both are means over the batch; labels are classes 0 to K-1, none is ignored. Finite for any finite logits.
    """
    ce, kd = compute("ce_kd", (student_logits,), (teacher_logits, labels), float(tau), tau_squared, backend=backend)
    return ce, kd
