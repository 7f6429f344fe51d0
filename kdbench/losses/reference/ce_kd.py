"""`ce_kd` as two losses."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses.precision import accumulation
from kdbench.losses.reference.kd import kd


def ce_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.ce_kd`."""
    ce = cross_entropy(accumulation(student_logits), labels)
    return ce, kd(student_logits, teacher_logits, tau, tau_squared=tau_squared)
