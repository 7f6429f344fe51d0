"""The noise of a rerun, estimated from all cells together: with three seeds a cell alone knows too little of its own.

A cell's variance is drawn towards what the cells have in common, as far as they agree (Smyth, Statistical Applications
in Genetics and Molecular Biology 3, 2004: the moderated t statistic). If the cells' true variances differ much, little
is borrowed and each is left with nearly its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

#: With fewer cells their spread of variances cannot be told, and every cell keeps its own.
MIN_CELLS = 6


@dataclass(frozen=True)
class SharedNoise:
    """`variance` that cells have in common, worth `freedom` degrees of freedom (maybe infinite), from cells that have
    `total` together.
    """

    variance: float
    freedom: float
    total: int

    def moderate(self, variance: float, freedom: int) -> tuple[float, float]:
        """A cell's variance and its degrees of freedom, drawn together with the shared ones."""
        if math.isinf(self.freedom):
            return self.variance, self.total
        together = self.freedom + freedom
        drawn = (self.freedom * self.variance + freedom * variance) / together
        return drawn, min(together, self.total)


def shared_noise(variances: Sequence[float], freedoms: Sequence[int]) -> SharedNoise | None:
    """Fit Smyth's scaled F distribution to sample variances by the moments of their logarithms; None for too few cells.

    All variances must be positive and all degrees of freedom at least one.
    """
    if len(variances) < MIN_CELLS:
        return None
    logs = [
        math.log(variance) - special.digamma(freedom / 2) + math.log(freedom / 2)
        for variance, freedom in zip(variances, freedoms, strict=True)
    ]
    mean = math.fsum(logs) / len(logs)
    spread = math.fsum((log - mean) ** 2 for log in logs) / (len(logs) - 1)
    excess = spread - math.fsum(float(special.polygamma(1, f / 2)) for f in freedoms) / len(freedoms)
    total = sum(freedoms)
    if excess <= 0:
        pooled = math.fsum(v * f for v, f in zip(variances, freedoms, strict=True)) / total
        return SharedNoise(pooled, math.inf, total)
    half = _inverse_trigamma(excess)
    return SharedNoise(math.exp(mean + float(special.digamma(half)) - math.log(half)), 2 * half, total)


def _inverse_trigamma(value: float) -> float:
    """x > 0 with trigamma(x) = `value`; trigamma falls from infinity to zero."""

    def distance(logarithm: float) -> float:
        return math.log(float(special.polygamma(1, math.exp(logarithm)))) - math.log(value)

    # Here alone: it takes longer to import than all else that judging takes.
    from scipy import optimize

    return math.exp(float(optimize.brentq(distance, -20.0, 20.0)))
