"""Cross-entropy and KD of the same logits: what most methods with a KD term compute for each batch."""

from torch import Tensor

from kdbench.losses.analytic.ce_kd import ce_kd as analytic
from kdbench.losses.backend import choose
from kdbench.losses.reference.ce_kd import ce_kd as reference


def ce_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
) -> tuple[Tensor, Tensor]:
    """(CE(z_S, y), τ²·KL(softmax(z_T/τ) ‖ softmax(z_S/τ))) of raw logits [B, K] and labels [B] int64, two scalars.

    Both are means over the batch; labels are classes 0 to K-1, none is ignored. Finite for any finite logits.
    """
    backend = choose((student_logits,), (teacher_logits,))
    implementation = reference if backend == "reference" else analytic
    if backend == "inductor":
        from kdbench.losses.inductor.ce_kd import ce_kd as implementation
    elif backend == "triton":
        from kdbench.losses.triton.ce_kd import ce_kd as implementation
    return implementation(student_logits, teacher_logits, labels, tau, tau_squared=tau_squared)
