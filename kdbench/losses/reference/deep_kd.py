"""`deep_kd` as Equations 1, 2 and 7 write it."""

from collections.abc import Sequence

from torch import Tensor

from kdbench.losses.reference.deep import last_and_shallow
from kdbench.losses.reference.kd import divergence


def deep_kd(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool, *weighting: bool
) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.deep_kd`."""
    return last_and_shallow([divergence(z, constants[0], tau, tau_squared) for z in heads], *weighting)
