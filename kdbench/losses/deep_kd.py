"""DSKD's loss of class predictions (Luo, Chen, Wang; Equations 1, 2 and 7)."""

from collections.abc import Sequence

from torch import Tensor

from kdbench.losses.analytic.deep_kd import deep_kd as analytic
from kdbench.losses.backend import BATCH_WEIGHTS, choose
from kdbench.losses.reference.deep_kd import deep_kd as reference


def deep_kd(
    teacher_logits: Tensor,
    shallow_logits: Sequence[Tensor],
    last_logits: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
    adaptive: bool = True,
    detach: bool = True,
    per_sample: bool = True,
) -> tuple[Tensor, Tensor]:
    """(last, shallow): mean_i D_L,i and mean_i Σ_l W_l,i·D_l,i with D_l,i = τ²·kl_i(p_T^τ ‖ p_l^τ), two scalars.

    All logits are [B, K]; `shallow_logits` holds the enabled auxiliary heads and may be empty (its term is then 0).
    The switches are those of `loss_based_weights`.
    """
    outside = BATCH_WEIGHTS if adaptive and not per_sample else None
    backend = choose((*shallow_logits, last_logits), (teacher_logits,), outside_triton=outside)
    implementation = reference if backend == "reference" else analytic
    if backend == "inductor":
        from kdbench.losses.inductor.deep_kd import deep_kd as implementation
    elif backend == "triton":
        from kdbench.losses.triton.deep_kd import deep_kd as implementation
    return implementation(
        teacher_logits,
        shallow_logits,
        last_logits,
        tau,
        tau_squared=tau_squared,
        adaptive=adaptive,
        detach=detach,
        per_sample=per_sample,
    )
