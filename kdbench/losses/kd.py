"""The temperature-softened Kullback-Leibler divergence of Hinton et al. (2015)."""

from torch import Tensor

from kdbench.losses.analytic.kd import kd as analytic
from kdbench.losses.backend import TENSOR_TAU, choose
from kdbench.losses.reduction import Reduction
from kdbench.losses.reference.kd import kd as reference


def kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    tau: float | Tensor = 4.0,
    *,
    tau_squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """τ²·KL(softmax(z_T/τ) ‖ softmax(z_S/τ)) of raw logits [B, K].

    `tau` is a number, or a tensor [B] with a temperature per sample. Gives the mean over the batch (a scalar) or, with
    `reduction="none"`, one value per sample [B]. Finite for any finite logits.
    """
    per_sample = isinstance(tau, Tensor)
    constants = (teacher_logits, tau) if isinstance(tau, Tensor) else (teacher_logits,)
    backend = choose((student_logits,), constants, outside_triton=TENSOR_TAU if per_sample else None)
    implementation = reference if backend == "reference" else analytic
    if backend == "inductor":
        from kdbench.losses.inductor.kd import kd as implementation
    elif backend == "triton":
        from kdbench.losses.triton.kd import kd as implementation
    return implementation(student_logits, teacher_logits, tau, tau_squared=tau_squared, reduction=reduction)
