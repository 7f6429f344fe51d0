"""The gate's decision: for every cell pass, regressed, or that n seeds cannot tell. docs/statistics.md has the reasons.

One boundary, −margin, is tested from both sides. A cell *passes* if "the true difference is −margin or below" is
rejected (non-inferiority); it has *regressed* if "the true difference is −margin or above" is rejected. Regressions
are corrected for the number of cells (Holm), so that a false alarm anywhere has probability alpha at most. Passes are
not: the gate is green only if every cell passes, and such an intersection-union test keeps its level without
correction (Berger, Technometrics 24, 1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kdbench.gate.difference import Difference, Sides, difference
from kdbench.gate.noise import SharedNoise, shared_noise
from kdbench.inputs.wording import counted
from kdbench.report.power import seeds_needed
from kdbench.report.statistics import Estimate, holm, t_cdf, t_quantile
from kdbench.report.words import seeds_in_words

Outcome = Literal["pass", "regressed", "cannot tell"]


@dataclass(frozen=True)
class Verdict:
    """One cell's outcome and why. `low` and `high` are one-sided bounds of the difference, in points, each at
    1 − alpha; `needed` is the number of seeds in words.
    """

    outcome: Outcome
    reason: str
    difference: Difference | None = None
    low: float | None = None
    high: float | None = None
    p_pass: float | None = None
    p_regressed: float | None = None
    needed: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        change = self.difference
        return {
            "verdict": self.outcome,
            "reason": self.reason,
            "difference": change.mean if change else None,
            "kind": change.kind if change else None,
            "n": change.n if change else None,
            "low": self.low,
            "high": self.high,
            "p_pass": self.p_pass,
            "p_regressed": self.p_regressed,
            "seeds_needed": self.needed,
        }


def judge(cells: Sequence[Sides], *, margin: float, alpha: float, resolution: float) -> list[Verdict]:
    """A verdict for each cell. `margin` ≥ 0 and `resolution`, the weight of one test image, are in points."""
    changes = [_with_rounding(difference(sides), resolution) for sides in cells]
    shared = shared_over(changes)
    estimates = [_estimate(change, shared) for change in changes]
    tested = [i for i, estimate in enumerate(estimates) if estimate.error is not None]
    p_values = [_p_regressed(estimates[i], margin) for i in tested]
    alarms = {i for i, (rejected, _) in zip(tested, holm(p_values, alpha), strict=True) if rejected}
    return [
        _tested(change, estimate, margin, alpha, alarm=i in alarms) if estimate.error is not None else _untested(change)
        for i, (change, estimate) in enumerate(zip(changes, estimates, strict=True))
    ]


def _with_rounding(change: Difference, resolution: float) -> Difference:
    """A variance below that of rounding both accuracies to whole images, resolution² / 6, is an accident of the
    rounding and is raised to it: seeds that agree by accident would else decide with certainty.
    """
    if change.variance is None or change.same_bits:
        return change
    return replace(change, variance=max(change.variance, resolution**2 / 6))


def shared_over(changes: Sequence[Difference]) -> SharedNoise | None:
    """The noise that the paired cells have in common; runs that gave the same bits tell nothing of it and stay out."""
    telling = [c for c in changes if c.kind == "paired" and c.variance is not None and not c.same_bits]
    return shared_noise([c.variance or 0.0 for c in telling], [int(c.freedom) for c in telling])


def _estimate(change: Difference, shared: SharedNoise | None) -> Estimate:
    if change.same_bits:
        return Estimate(change.mean, None, None)
    if shared is None or change.kind != "paired":
        return change.estimate
    return change.with_noise(*shared.moderate(change.variance or 0.0, int(change.freedom)))


def _p_regressed(estimate: Estimate, margin: float) -> float:
    """p value of "the true difference is −margin or above"."""
    assert estimate.error is not None and estimate.freedom is not None
    return t_cdf((estimate.mean + margin) / estimate.error, estimate.freedom)


def _tested(change: Difference, estimate: Estimate, margin: float, alpha: float, *, alarm: bool) -> Verdict:
    assert estimate.error is not None and estimate.freedom is not None
    p_regressed = _p_regressed(estimate, margin)
    p_pass = 1 - p_regressed
    reach = t_quantile(1 - alpha, estimate.freedom) * estimate.error
    pairing = f"{'paired' if change.kind == 'paired' else 'unpaired'} seed"
    said = f"{change.mean:+.2f} points over {counted(change.n, pairing)}"
    outcome: Outcome = "regressed" if alarm else "pass" if p_pass <= alpha else "cannot tell"
    needed = None
    if outcome == "cannot tell":
        spread = estimate.error * math.sqrt(change.n)
        enough = seeds_needed(margin / spread, alpha, two_sided=False)
        if enough is not None and enough <= change.n:
            # So many mostly do where nothing has changed; this cell came out nearer to the margin.
            needed = f"> {change.n}"
            said += f": too near to {margin:g} points worse for a std of {spread:.2f} points between seeds"
        else:
            needed = seeds_in_words(enough)
            said += f": a std of {spread:.2f} points between seeds takes {needed} seeds to tell {margin:g} points"
    else:
        said += _against(margin, outcome)
    low, high = estimate.mean - reach, estimate.mean + reach
    return Verdict(outcome, said, change, low, high, p_pass, p_regressed, needed)


def _untested(change: Difference) -> Verdict:
    """Where there is nothing to test with: no noise is left, or none was seen."""
    if change.same_bits:
        return Verdict("pass", "bit for bit the same runs", change, change.mean, change.mean)
    return Verdict("cannot tell", f"{change.mean:+.2f} points: one seed shows no noise", change, needed="2 or more")


def _against(margin: float, outcome: Outcome) -> str:
    return f": {'not worse' if outcome == 'pass' else 'worse'} by more than {margin:g} points"
