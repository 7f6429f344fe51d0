"""How often the gate is wrong and how often it sees a change: `judge` itself on simulated grids, against the table in
docs/statistics.md.
"""

from pathlib import Path

import numpy as np
import pytest

from kdbench.gate.difference import Sides
from kdbench.gate.verdict import judge

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
GRIDS = 250
ALPHA = 0.05
#: Four standard errors of a proportion near one half; the table is rounded to two digits.
TOLERANCE = 4 * 0.5 / GRIDS**0.5


def table():
    """Rows of the page's table as numbers: cells, seeds, std, margin, drop, and the three rates."""
    lines = PAGE.read_text().partition("<!-- rates -->")[2].partition("<!-- end -->")[0].strip().splitlines()
    return [tuple(float(entry) for entry in line.strip("|").split("|")) for line in lines[2:]]


def outcomes(cells, seeds, std, margin, drop, *, dropped, varied=0.0, images=10_000):
    """Verdicts [grids][cells]: the first `dropped` cells are truly worse by `drop`. Between cells the std varies by a
    log-normal factor of sigma `varied`. A test set of fewer than 10,000 images rounds all accuracies to whole ones.
    """
    image = 100 / images
    rng = np.random.default_rng(0)
    found = []
    for _ in range(GRIDS):
        stds = std * np.exp(varied * rng.standard_normal((cells, 1)))
        change = rng.standard_normal((cells, seeds)) * stds
        change[:dropped] -= drop
        old = np.zeros_like(change)
        if images < 10_000:
            old = 90 + rng.standard_normal(change.shape)
            old, change = np.round(old / image) * image, np.round((old + change) / image) * image
        sides = [Sides(dict(enumerate(was)), dict(enumerate(now))) for was, now in zip(old, change, strict=True)]
        found.append([one.outcome for one in judge(sides, margin=margin, alpha=ALPHA, resolution=image)])
    return np.array(found)


def red(found):
    return (found == "regressed").any(axis=1).mean()


def green(found):
    return (found == "pass").all(axis=1).mean()


@pytest.mark.parametrize("row", table(), ids=str)
def test_the_table_is_what_the_gate_does(row):
    cells, seeds, std, margin, drop, false_alarm, unchanged_green, seen = row
    unchanged = outcomes(int(cells), int(seeds), std, margin, 0, dropped=0)
    worse = outcomes(int(cells), int(seeds), std, margin, drop, dropped=1)
    rates = (red(unchanged), green(unchanged), (worse[:, 0] == "regressed").mean())
    print(row, rates)
    assert rates == pytest.approx((false_alarm, unchanged_green, seen), abs=TOLERANCE)
    assert rates[0] <= ALPHA


@pytest.mark.parametrize(
    ("cells", "seeds", "varied", "bound"),
    [(18, 3, 0.0, 0.05), (18, 3, 0.5, 0.10), (6, 2, 0.0, 0.08), (6, 3, 0.0, 0.06)],
)
def test_errors_at_the_boundary(cells, seeds, varied, bound):
    """Every cell truly worse by just the margin: red is wrong, and so is any single pass."""
    found = outcomes(cells, seeds, 0.5, 0.5, 0.5, dropped=cells, varied=varied)
    error = (bound * (1 - bound) / GRIDS) ** 0.5
    print(varied, red(found), (found == "pass").mean())
    assert red(found) <= bound + 3 * error
    assert (found == "pass").mean() <= 0.07


def test_one_worse_cell_is_not_passed_over():
    """Green with one cell worse by the margin, all others unchanged: at most alpha."""
    found = outcomes(18, 5, 0.3, 1.0, 1.0, dropped=1)
    assert green(found) <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / GRIDS) ** 0.5


@pytest.mark.parametrize(
    ("seeds", "std", "margin", "images"), [(2, 0.3, 1, 797), (3, 0.3, 1, 200), (2, 0.85, 1.5, 100)]
)
def test_whole_images_that_agree_by_accident_decide_nothing(seeds, std, margin, images):
    """Three cells, too few to share their noise, all truly worse by the margin; two or three seeds often agree."""
    found = outcomes(3, seeds, std, margin, margin, dropped=3, images=images)
    error = (ALPHA * (1 - ALPHA) / GRIDS) ** 0.5
    print(red(found), (found == "pass").mean())
    assert red(found) <= ALPHA + 3 * error
    assert (found == "pass").mean() <= ALPHA + 3 * error
