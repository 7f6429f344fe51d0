"""The statistics under every comparison: intervals, tests, Holm's correction. Values are in per cent, one a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbench.report.results import Summary

if TYPE_CHECKING:
    import numpy as np


def t_cdf(value: float, freedom: float) -> float:
    """Student's t distribution. scipy.special has it without the second that importing scipy.stats takes."""
    from scipy import special

    return float(special.stdtr(freedom, value))


def t_quantile(probability: float, freedom: float) -> float:
    """The value below which Student's t lies with `probability`."""
    from scipy import special

    return float(special.stdtrit(freedom, probability))


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0

    def as_json(self) -> list[float]:
        """[low, high]."""
        return [self.low, self.high]


#: Accuracies in per cent that differ by less are equal: an image is 10^-4 and more, a difference's rounding 10^-14.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and degrees of freedom; both are None where the values show no spread.

    No spread means fewer than two values, or values that are all equal: a test then has nothing to divide by.
    """

    mean: float
    error: float | None
    freedom: float | None

    def interval(self, level: float) -> Interval | None:
        """Student's t interval at `level`, such as 0.95."""
        if self.error is None or self.freedom is None:
            return None
        half = t_quantile((1 + level) / 2, self.freedom) * self.error
        return Interval(self.mean - half, self.mean + half)

    @property
    def p_value(self) -> float | None:
        """Two-sided p value of mean = 0."""
        if self.error is None or self.freedom is None:
            return None
        return 2 * t_cdf(-abs(self.mean) / self.error, self.freedom)


def paired(differences: Sequence[float]) -> Estimate:
    """The mean of paired differences, for the paired t test: n − 1 degrees of freedom. Needs at least one value."""
    summary = Summary(tuple(differences))
    mean, std = summary.mean, summary.std
    assert mean is not None
    if std is None or std < ROUNDING:
        return Estimate(mean, None, None)
    return Estimate(mean, std / math.sqrt(len(differences)), len(differences) - 1)


def welch(mean: float, std: float | None, n: int, mean2: float, std2: float | None, n2: int) -> Estimate:
    """First minus second mean of two independent samples, given by mean, sample std and size.

    Welch's unequal-variances t test (Welch, Biometrika 34, 1947), its degrees of freedom after Satterthwaite.
    """
    if std is None or std2 is None or max(std, std2) < ROUNDING:
        return Estimate(mean - mean2, None, None)
    first, second = std**2 / n, std2**2 / n2
    freedom = (first + second) ** 2 / (first**2 / (n - 1) + second**2 / (n2 - 1))
    return Estimate(mean - mean2, math.sqrt(first + second), freedom)


def holm(p_values: Sequence[float | None], alpha: float) -> list[tuple[bool, float]]:
    """(rejected, level) of each of a family of tests, with family-wise error at most `alpha`.

    Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979): the i-th smallest of m p values is rejected
    while it is at most alpha / (m − i + 1). `level` is what the p value was held against; for all that are not
    rejected it is the level of the step that stopped. A test is thus rejected exactly if its two-sided interval at
    1 − level excludes the hypothesis. None, a test that could not be made, counts in m and is never rejected.
    """
    order = sorted(range(len(p_values)), key=lambda i: math.inf if (p := p_values[i]) is None else p)
    outcome = [(False, alpha)] * len(p_values)
    stopped: float | None = None
    for rank, index in enumerate(order):
        p_value = p_values[index]
        level = alpha / (len(p_values) - rank)
        if stopped is None and (p_value is None or p_value > level):
            stopped = level
        outcome[index] = (stopped is None, level if stopped is None else stopped)
    return outcome


def resampled_means(differences: Sequence[Sequence[float]], draws: int, seed: int) -> np.ndarray:
    """`draws` means of a hierarchical bootstrap, [draws]: groups (pairs) are drawn with replacement, then in each
    drawn group its values (seeds); a mean is that of the groups' means.

    Davison & Hinkley, Bootstrap Methods and their Application, section 3.8. Equal arguments give equal draws.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    groups = [np.asarray(values, dtype=np.float64) for values in differences]
    chosen = generator.integers(len(groups), size=(draws, len(groups)))
    means = np.empty(chosen.shape)
    for index, values in enumerate(groups):
        places = np.nonzero(chosen == index)
        drawn = generator.integers(len(values), size=(len(places[0]), len(values)))
        means[places] = values[drawn].mean(axis=1)
    result: np.ndarray = means.mean(axis=1)
    return result
