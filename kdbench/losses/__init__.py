"""Loss operators, one a file: raw logits and maps in, float32 losses out.

Each has one signature and three implementations, in `reference`, `analytic` and `triton` under the operator's name;
`backend` says which one computes a call.
"""

from kdbench.losses.ce_kd import ce_kd
from kdbench.losses.deep_kd import deep_kd
from kdbench.losses.deep_mse import deep_mse
from kdbench.losses.kd import kd
from kdbench.losses.weighting import loss_based_weights

__all__ = ["ce_kd", "deep_kd", "deep_mse", "kd", "loss_based_weights"]
