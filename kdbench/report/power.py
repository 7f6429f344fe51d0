"""How many seeds a comparison would need."""

from __future__ import annotations

import math

from kdbench.report.statistics import t_quantile

POWER = 0.8
#: Nobody trains more seeds than this; a need beyond it is said as such.
MOST_SEEDS = 1000


def power_of_t(effect: float, n: int, level: float, *, two_sided: bool) -> float:
    """Probability that a paired t test on n differences rejects at `level`, where their mean over their std is
    `effect` > 0: the upper tail of the noncentral t distribution (Cohen, Statistical Power Analysis, 1988).

    The chance of a rejection on the wrong side is left out.
    """
    from scipy import special

    critical = t_quantile(1 - (level / 2 if two_sided else level), n - 1)
    # A hundred times the critical value is certain already; SciPy 1.13 gives no number for much larger ones.
    return 1 - float(special.nctdtr(n - 1, min(effect * math.sqrt(n), 100 * critical), critical))


def seeds_needed(effect: float, level: float, *, two_sided: bool) -> int | None:
    """Smallest number of seeds with which the test of `power_of_t` has power 0.8, or None above `MOST_SEEDS`."""
    if not effect > 0 or power_of_t(effect, MOST_SEEDS, level, two_sided=two_sided) < POWER:
        return None
    low, high = 1, MOST_SEEDS  # the power grows with n, and one seed has none
    while high - low > 1:
        middle = (low + high) // 2
        if power_of_t(effect, middle, level, two_sided=two_sided) >= POWER:
            high = middle
        else:
            low = middle
    return high
