"""`kd` as written."""

from torch import Tensor
from torch.nn.functional import log_softmax

from kdbench.losses.precision import accumulation
from kdbench.losses.reduction import Reduction


def kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    tau: float | Tensor = 4.0,
    *,
    tau_squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """See `kdbench.losses.kd`."""
    scale = tau.unsqueeze(1) if isinstance(tau, Tensor) else tau
    log_p_s = log_softmax(accumulation(student_logits) / scale, dim=1)
    log_p_t = log_softmax(accumulation(teacher_logits) / scale, dim=1)
    divergence = (log_p_t.exp() * (log_p_t - log_p_s)).sum(dim=1)
    if tau_squared:
        divergence = divergence * tau**2
    return divergence.mean() if reduction == "mean" else divergence
