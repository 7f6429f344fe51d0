"""DSKD's loss of class predictions (Luo, Chen, Wang; Equations 1, 2 and 7)."""

from collections.abc import Sequence

from torch import Tensor

from kdbench.losses.backend import BATCH_WEIGHTS, Backend, compute


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
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """(last, shallow): mean_i D_L,i and mean_i Σ_l W_l,i·D_l,i with D_l,i = τ²·kl_i(p_T^τ ‖ p_l^τ), two scalars.

    All logits are [B, K]; `shallow_logits` holds the enabled auxiliary heads and may be empty (its term is then 0).
    The switches are those of `loss_based_weights`.
    """
    last, shallow = compute(
        "deep_kd",
        (*shallow_logits, last_logits),
        (teacher_logits,),
        float(tau),
        tau_squared,
        adaptive,
        detach,
        per_sample,
        backend=backend,
        outside_triton=BATCH_WEIGHTS if adaptive and not per_sample else None,
    )
    return last, shallow
