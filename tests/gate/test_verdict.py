"""What the gate decides, cell by cell."""

import numpy as np
import pytest
from scipy import stats

from kdbench.gate.difference import Sides, difference
from kdbench.gate.noise import shared_noise
from kdbench.gate.verdict import judge

RESOLUTION = 0.01


def sides(old, new, **options):
    return Sides(dict(enumerate(old)), dict(enumerate(new)), **options)


def judged(*cells, margin=0.3, alpha=0.05):
    return judge(cells, margin=margin, alpha=alpha, resolution=RESOLUTION)


def test_paired_where_seeds_match_agrees_with_scipy():
    old, new = [70.0, 70.5, 71.2], [69.1, 69.9, 70.2]
    (verdict,) = judged(sides(old, new))
    shifted = np.array(new) + 0.3
    assert verdict.difference.kind == "paired"
    assert verdict.p_pass == pytest.approx(stats.ttest_rel(shifted, old, alternative="greater").pvalue)
    assert verdict.p_regressed == pytest.approx(stats.ttest_rel(shifted, old, alternative="less").pvalue)
    # Differences −0.9, −0.6, −1.0: mean −0.8333, std 0.2082, error 0.1202, t(0.95; 2) = 2.9200.
    assert (verdict.low, verdict.high) == pytest.approx((-0.8333 - 0.3510, -0.8333 + 0.3510), abs=1e-3)


def test_welch_where_seeds_differ_agrees_with_scipy():
    old, new = {0: 70.0, 1: 70.5, 2: 71.2}, {3: 69.1, 4: 69.9, 5: 70.2}
    (verdict,) = judged(Sides(old, new))
    expected = stats.ttest_ind(np.array([*new.values()]) + 0.3, [*old.values()], equal_var=False, alternative="less")
    assert verdict.difference.kind == "welch" and verdict.p_regressed == pytest.approx(expected.pvalue)


def test_seeds_are_paired_if_one_side_has_all_of_the_other():
    assert difference(Sides({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.5, 2: 3.0})).kind == "paired"
    assert difference(Sides({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.5, 2: 3.0})).n == 2
    assert difference(Sides({0: 1.0, 1: 2.0}, {1: 1.5, 2: 3.0})).kind == "welch"


def test_the_three_outcomes():
    better, worse, unclear = judged(
        sides([70, 71, 72], [70.2, 71.21, 72.19]),
        sides([70, 71, 72], [68.0, 69.01, 69.99]),
        sides([70, 71, 72], [69.0, 71.5, 72.5]),
    )
    assert [one.outcome for one in (better, worse, unclear)] == ["pass", "regressed", "cannot tell"]
    assert "worse by more than 0.3 points" in worse.reason
    assert int(unclear.needed) > 3


def test_the_same_bits_pass_whatever_else_is_noisy():
    same, *_ = judged(sides([70, 71], [70, 71], same_bits=True), *_noisy(8))
    assert same.outcome == "pass" and "bit for bit" in same.reason


@pytest.mark.parametrize(("change", "outcome"), [(0.0, "pass"), (-0.3, "cannot tell"), (-0.4, "regressed")])
def test_seeds_that_agree_are_as_sure_as_rounding_to_whole_images_allows(change, outcome):
    (verdict,) = judged(sides([70.1, 71.3, 72.7], [70.1 + change, 71.3 + change, 72.7 + change]))
    # Two roundings to 0.01 points have the variance 2 × 0.01² / 12; t(0.95; 2) = 2.9200.
    assert verdict.outcome == outcome
    assert verdict.high - change == pytest.approx(2.9200 * (2 * 0.01**2 / 12 / 3) ** 0.5, rel=1e-4)


def test_unpaired_seeds_that_agree_are_no_surer():
    coarse = Sides({0: 70.0, 1: 70.0, 2: 70.0}, {3: 69.0, 4: 69.0, 5: 69.0})
    (verdict,) = judge([coarse], margin=0.5, alpha=0.05, resolution=1.0)
    # −1 + 0.5 over an error of (1/6/3)^½ = 0.2357 is t = −2.12, and P(t < −2.12; 2) = 0.084.
    assert verdict.outcome == "cannot tell" and verdict.p_regressed == pytest.approx(0.084, abs=1e-3)


def test_one_seed_cannot_tell_unless_it_is_the_same():
    assert judged(sides([70], [69]))[0].outcome == "cannot tell"
    assert judged(sides([70], [69]))[0].needed == "2 or more"
    assert judged(sides([70], [70], same_bits=True))[0].outcome == "pass"


def test_an_accident_of_equal_differences_is_judged_by_the_noise_of_the_other_cells():
    accident = sides([70, 71, 72], [69.4, 70.4, 71.4])
    assert judged(accident)[0].outcome == "regressed"
    assert judged(accident, *_noisy(8))[0].outcome == "cannot tell"


def test_a_false_alarm_is_corrected_for_the_number_of_cells():
    cell = sides([70, 71, 72], [69.0, 70.3, 70.7])
    assert judged(cell)[0].outcome == "regressed"
    others = [sides([70, 71, 72], [70.1, 71.2, 72.3]) for _ in range(4)]
    assert judged(cell, *others)[0].outcome == "cannot tell"


def test_the_need_for_seeds_has_a_ceiling():
    (verdict,) = judged(sides([70, 71, 72], [60, 75, 73]), margin=0.1)
    assert verdict.needed == "> 1000"
    assert "> 1000 seeds" in verdict.reason


def test_an_undecided_cell_never_asks_for_the_seeds_that_it_has():
    """Differences around −0.33 with a std of 0.1: three seeds would do if nothing had changed, five do not here."""
    (near,) = judged(sides([90.0] * 5, [89.6, 89.7, 89.8, 89.55, 89.7]))
    assert near.outcome == "cannot tell" and near.needed == "> 5"
    assert "too near to 0.3 points worse for a std of 0.10 points" in near.reason
    (unclear,) = judged(sides([90.0] * 3, [89.9, 90.3, 89.6]))
    assert unclear.outcome == "cannot tell" and int(unclear.needed) > 3


def test_nothing_to_judge():
    assert judged() == []


def test_shared_noise_of_equal_variances_is_their_mean_with_all_degrees_of_freedom():
    shared = shared_noise([0.5] * 10, [2] * 10)
    assert shared.moderate(0.5, 2) == (pytest.approx(0.5), 20)
    assert shared_noise([0.5] * 5, [2] * 5) is None


def test_shared_noise_recovers_the_prior_it_was_drawn_from():
    """Variances of cells from a scaled inverse χ² with 8 degrees of freedom around 0.25, each seen with 4."""
    rng = np.random.default_rng(0)
    true = 0.25 * 8 / rng.chisquare(8, 20_000)
    seen = true * rng.chisquare(4, 20_000) / 4
    shared = shared_noise(seen.tolist(), [4] * 20_000)
    assert shared.freedom == pytest.approx(8, rel=0.1) and shared.variance == pytest.approx(0.25, rel=0.03)
    # Half-way rule by hand: (8 × 0.25 + 4 × 1) / 12 = 0.5 with 12 degrees of freedom, near enough.
    assert shared.moderate(1.0, 4) == (pytest.approx(0.5, rel=0.05), pytest.approx(12, rel=0.1))


def _noisy(count):
    rng = np.random.default_rng(1)
    return [sides(rng.normal(70, 1, 3), rng.normal(70, 1, 3)) for _ in range(count)]
