"""`ce_kd` as two losses."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses.precision import accumulation
from kdbench.losses.reference.kd import divergence


def ce_kd(heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.ce_kd`."""
    (student,), (teacher, labels) = heads, constants
    ce = cross_entropy(accumulation(student), labels)
    return ce, divergence(student, teacher, tau, tau_squared).mean()
