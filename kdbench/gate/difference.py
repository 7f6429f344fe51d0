"""What has changed in one cell: new minus old accuracy in points, with the noise that the runs themselves show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kdbench.inputs.errors import UserError
from kdbench.report.results import Summary
from kdbench.report.statistics import Estimate, paired, welch


@dataclass(frozen=True)
class Sides:
    """Accuracies in per cent by seed, before and now; `same_bits` says that every run gave bit for bit what it gave
    before.
    """

    old: Mapping[int, float]
    new: Mapping[int, float]
    same_bits: bool = False


@dataclass(frozen=True)
class Difference:
    """New minus old mean in points.

    `kind` is how it was formed: seed by seed, or between the two means. `n` counts differences, or the seeds of the
    smaller side. `variance` is that of a single seed's difference, with `freedom` degrees of freedom; it is None where
    one seed shows none.
    """

    kind: Literal["paired", "welch"]
    mean: float
    n: int
    variance: float | None
    freedom: float
    same_bits: bool

    @property
    def estimate(self) -> Estimate:
        """The difference with the standard error that this cell alone gives; none where it shows no spread."""
        return self.with_noise(self.variance, self.freedom)

    def with_noise(self, variance: float | None, freedom: float) -> Estimate:
        """The difference, were `variance` that of a single seed's difference."""
        if not variance:
            return Estimate(self.mean, None, None)
        return Estimate(self.mean, math.sqrt(variance / self.n), freedom)


def difference(sides: Sides) -> Difference:
    """Paired over the seeds in common if one side has all seeds of the other; else Welch's, on all values.

    Both sides need at least one value.
    """
    common = sorted(sides.old.keys() & sides.new.keys())
    if len(common) == min(len(sides.old), len(sides.new)):
        n = len(common)
        estimate = paired([sides.new[seed] - sides.old[seed] for seed in common])
        variance = (estimate.error or 0.0) ** 2 * n if n > 1 else None
        return Difference("paired", estimate.mean, n, variance, n - 1, sides.same_bits)
    old, new = Summary(tuple(sides.old.values())), Summary(tuple(sides.new.values()))
    assert old.mean is not None and new.mean is not None
    n = min(len(old.values), len(new.values))
    estimate = welch(new.mean, new.std, len(new.values), old.mean, old.std, len(old.values))
    seen = old.std is not None and new.std is not None
    variance = (estimate.error or 0.0) ** 2 * n if seen else None
    return Difference("welch", estimate.mean, n, variance, estimate.freedom or n - 1, sides.same_bits)


def refuse_other_data(what: str, data_sha256: str, than: str, expected: str) -> None:
    """Raise `UserError` unless what is compared was measured on the same data."""
    if data_sha256 != expected:
        raise UserError(
            f"{what} was made on other data than {than} ({data_sha256[:12]}, not {expected[:12]}); accuracies on "
            "different data cannot be compared."
        )
