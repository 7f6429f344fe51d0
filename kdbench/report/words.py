"""How reports write numbers, and the sentences that they share."""

from __future__ import annotations

from kdbench.report.power import MOST_SEEDS
from kdbench.report.results import Summary
from kdbench.report.statistics import Interval


def decimals(value: float | None, digits: int = 2) -> str:
    """A number as tables write it; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def spread(summary: Summary) -> str:
    """mean ± sample std (n)."""
    if summary.mean is None:
        return "–"
    std = f"±{summary.std:.2f}" if summary.std is not None else ""
    return f"{summary.mean:.2f}{std} ({len(summary.values)})"


def signed(points: float | None, interval: Interval | None = None) -> str:
    """A difference in points, with its interval where there is one."""
    if points is None:
        return "–"
    return f"{points:+.2f}" + (f" [{interval.low:+.2f}, {interval.high:+.2f}]" if interval else "")


def seeds_in_words(needed: int | None) -> str:
    """A number of seeds that `seeds_needed` gave."""
    return f"> {MOST_SEEDS}" if needed is None else f"{needed}"


def not_comparable(dataset: str) -> str:
    """What to say of a paper's table that was measured on `dataset`, while ours was not."""
    return (
        f"The paper's numbers are of {dataset} and are not to be set beside these; what may be compared is the order "
        "of the methods and the sign of their differences"
    )
