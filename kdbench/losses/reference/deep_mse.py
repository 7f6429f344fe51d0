"""`deep_mse` as Equations 4, 5 and 8 write it."""

from collections.abc import Sequence

from torch import Tensor

from kdbench.losses.precision import accumulation
from kdbench.losses.reference.deep import last_and_shallow


def deep_mse(heads: Sequence[Tensor], constants: Sequence[Tensor], *weighting: bool) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.deep_mse`."""
    target = accumulation(constants[0])
    errors = [(accumulation(f) - target).square().flatten(1).mean(dim=1) for f in heads]
    return last_and_shallow(errors, *weighting)
