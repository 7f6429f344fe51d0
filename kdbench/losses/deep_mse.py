"""DSKD's loss of feature maps (Luo, Chen, Wang; Equations 4, 5 and 8)."""

from collections.abc import Sequence

from torch import Tensor

from kdbench.losses.backend import BATCH_WEIGHTS, Backend, compute


def deep_mse(
    teacher_map: Tensor,
    shallow_maps: Sequence[Tensor],
    last_map: Tensor,
    *,
    adaptive: bool = True,
    detach: bool = True,
    per_sample: bool = True,
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """(last, shallow): mean_i M_L,i and mean_i Σ_l W_l,i·M_l,i with M_l,i = mse_i(F_T, r_l(F_l)), two scalars.

    The maps are already projected: all share one shape [B, ...], over which the squared error of a sample is a mean.
    `shallow_maps` holds the enabled auxiliary heads and may be empty (its term is then 0). The switches are those of
    `loss_based_weights`. Fast where all maps lie alike in memory, contiguous or channels-last.
    """
    last, shallow = compute(
        "deep_mse",
        (*shallow_maps, last_map),
        (teacher_map,),
        adaptive,
        detach,
        per_sample,
        backend=backend,
        outside_triton=BATCH_WEIGHTS if adaptive and not per_sample else None,
    )
    return last, shallow
