"""The temperature-softened Kullback-Leibler divergence of Hinton et al. (2015)."""

from torch import Tensor

from kdbench.losses.backend import TENSOR_TAU, Backend, compute
from kdbench.losses.reduction import Reduction


def kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    tau: float | Tensor = 4.0,
    *,
    tau_squared: bool = True,
    reduction: Reduction = "mean",
    backend: Backend | None = None,
) -> Tensor:
    """τ²·KL(softmax(z_T/τ) ‖ softmax(z_S/τ)) of raw logits [B, K].

    `tau` is a number, or a tensor [B] with a temperature per sample. Gives the mean over the batch (a scalar) or, with
    `reduction="none"`, one value per sample [B]. Finite for any finite logits.
    """
    (loss,) = compute(
        "kd",
        (student_logits,),
        (teacher_logits, tau) if isinstance(tau, Tensor) else (teacher_logits,),
        None if isinstance(tau, Tensor) else float(tau),
        tau_squared,
        reduction == "mean",
        backend=backend,
        outside_triton=TENSOR_TAU if isinstance(tau, Tensor) else None,
    )
    return loss
