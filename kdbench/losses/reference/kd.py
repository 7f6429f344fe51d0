"""`kd` as written."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import log_softmax

from kdbench.losses.precision import accumulation


def kd(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float | None, tau_squared: bool, mean: bool
) -> tuple[Tensor]:
    """See `kdbench.losses.kd`."""
    losses = divergence(heads[0], constants[0], constants[1] if tau is None else tau, tau_squared)
    return (losses.mean() if mean else losses,)


def divergence(student_logits: Tensor, teacher_logits: Tensor, tau: float | Tensor, tau_squared: bool) -> Tensor:
    """One value per sample [B]."""
    scale = tau.unsqueeze(1) if isinstance(tau, Tensor) else tau
    log_p_s = log_softmax(accumulation(student_logits) / scale, dim=1)
    log_p_t = log_softmax(accumulation(teacher_logits) / scale, dim=1)
    divergence = (log_p_t.exp() * (log_p_t - log_p_s)).sum(dim=1)
    return divergence * tau**2 if tau_squared else divergence
