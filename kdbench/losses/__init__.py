"""Loss operators, one a file: raw logits and maps in, float32 losses out.

An operator's file holds its signature and says its call to whatever implements it: `reference`, `analytic` (which
compiled is `inductor`) and `triton`, a folder each, under the operator's name. `backend` says which one does.
"""

from kdbench.losses.ce_kd import ce_kd
from kdbench.losses.deep_kd import deep_kd
from kdbench.losses.deep_mse import deep_mse
from kdbench.losses.kd import kd
from kdbench.losses.weighting import loss_based_weights

__all__ = ["ce_kd", "deep_kd", "deep_mse", "kd", "loss_based_weights"]
