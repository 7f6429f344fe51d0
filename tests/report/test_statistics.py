"""The statistics against scipy and against numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from kdbench.report.power import power_of_t, seeds_needed
from kdbench.report.statistics import holm, paired, resampled_means, welch


def test_paired_interval_by_hand():
    # Differences 1, 2, 3: mean 2, sample std 1, standard error 1/√3 = 0.57735, t(0.975; 2) = 4.30265.
    estimate = paired([1.0, 2.0, 3.0])
    assert estimate.mean == 2 and estimate.freedom == 2
    assert estimate.error == pytest.approx(0.57735, abs=1e-5)
    interval = estimate.interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-5)
    # t = 2 / 0.57735 = 3.4641; with two degrees of freedom p = 1 − t / √(t² + 2) = 1 − 3.4641 / √14.
    assert estimate.p_value == pytest.approx(1 - math.sqrt(12) / math.sqrt(14), abs=1e-9)


def test_paired_agrees_with_scipy():
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 10):
        ours, theirs = rng.normal(70, 1, n), rng.normal(69, 1, n)
        expected = stats.ttest_rel(ours, theirs)
        estimate = paired((ours - theirs).tolist())
        assert estimate.p_value == pytest.approx(expected.pvalue)
        interval, low_high = estimate.interval(0.95), expected.confidence_interval(0.95)
        assert (interval.low, interval.high) == pytest.approx((low_high.low, low_high.high))


def test_welch_by_hand_and_with_scipy():
    # 76.32 ± 0.30 of 4 against 75.98 ± 0.20 of 5: squared errors 0.0225 and 0.008, their sum 0.0305,
    # degrees of freedom 0.0305² / (0.0225² / 3 + 0.008² / 4) = 0.00093025 / 0.00018475 = 5.0352.
    estimate = welch(76.32, 0.30, 4, 75.98, 0.20, 5)
    assert estimate.mean == pytest.approx(0.34) and estimate.error == pytest.approx(math.sqrt(0.0305))
    assert estimate.freedom == pytest.approx(5.0352, abs=1e-4)
    expected = stats.ttest_ind_from_stats(76.32, 0.30, 4, 75.98, 0.20, 5, equal_var=False)
    assert estimate.p_value == pytest.approx(expected.pvalue)


def test_no_spread_is_no_test():
    for estimate in (paired([0.5]), paired([0.5, 0.5, 0.5]), welch(1, 0.0, 3, 0, 0.0, 3), welch(1, None, 1, 0, 0.2, 3)):
        assert estimate.interval(0.95) is None and estimate.p_value is None


def test_holm_by_hand():
    # Levels 0.05/4, 0.05/3, 0.05/2, 0.05: 0.01 ≤ 0.0125 and 0.015 ≤ 0.01667 pass, 0.03 > 0.025 stops all that follow.
    outcome = holm([0.03, 0.01, 0.04, 0.015], 0.05)
    assert [rejected for rejected, _ in outcome] == [False, True, False, True]
    assert [level for _, level in outcome] == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])


def test_holm_counts_tests_that_could_not_be_made():
    assert holm([0.03, None], 0.05) == [(False, 0.025), (False, 0.025)]
    assert holm([0.02, None], 0.05)[0] == (True, 0.025)
    assert holm([], 0.05) == []


def test_holm_agrees_with_the_intervals_at_its_levels():
    rng = np.random.default_rng(1)
    for _ in range(50):
        estimates = [paired(rng.normal(rng.choice([0, 1]), 0.4, 4).tolist()) for _ in range(6)]
        for estimate, (rejected, level) in zip(estimates, holm([e.p_value for e in estimates], 0.05), strict=True):
            assert estimate.interval(1 - level).excludes_zero == rejected


def test_seeds_needed_against_the_known_table():
    # A paired t test, effect 0.5, alpha 0.05 two-sided, power 0.8: 34 pairs; effect 0.8: 15; effect 0.2: 199 (Cohen).
    assert [seeds_needed(effect, 0.05, two_sided=True) for effect in (0.5, 0.8, 0.2)] == [34, 15, 199]
    assert seeds_needed(0.5, 0.05, two_sided=False) == 27
    n = seeds_needed(1.3, 0.01, two_sided=True)
    assert power_of_t(1.3, n, 0.01, two_sided=True) >= 0.8 > power_of_t(1.3, n - 1, 0.01, two_sided=True)


def test_seeds_needed_has_a_ceiling():
    assert seeds_needed(0.01, 0.05, two_sided=True) is None
    assert seeds_needed(0.0, 0.05, two_sided=False) is None
    assert seeds_needed(1e6, 0.05, two_sided=False) == 2


def test_power_is_that_of_a_simulation():
    rng = np.random.default_rng(2)
    differences = rng.normal(0.9, 1, (20_000, 5))
    rejected = stats.ttest_1samp(differences, 0, axis=1, alternative="greater").pvalue <= 0.05
    assert power_of_t(0.9, 5, 0.05, two_sided=False) == pytest.approx(rejected.mean(), abs=0.01)


def test_bootstrap_is_deterministic_and_has_the_right_spread():
    differences = [[0.1, 0.4, 0.2], [1.0, 1.3], [-0.2, 0.0, 0.1]]
    means = resampled_means(differences, 20_000, seed=0)
    assert (means == resampled_means(differences, 20_000, seed=0)).all()
    assert (means != resampled_means(differences, 20_000, seed=1)).any()
    groups = [np.array(values) for values in differences]
    expected = np.mean([values.mean() for values in groups])
    # Var(mean of K groups) = (variance between groups' means + mean of (variance within / n)) / K, all with ddof 0.
    between = np.var([values.mean() for values in groups])
    within = np.mean([values.var() / len(values) for values in groups])
    assert means.mean() == pytest.approx(expected, abs=0.01)
    assert means.var() == pytest.approx((between + within) / 3, rel=0.05)


def test_bootstrap_coverage_is_what_the_docs_say():
    """Seven pairs of three seeds, pair std 0.5, seed std 0.3 points; nominally 95 %."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        differences = 0.4 + rng.normal(0, 0.5, (7, 1)) + rng.normal(0, 0.3, (7, 3))
        low, high = np.quantile(resampled_means(differences.tolist(), 500, seed=0), [0.025, 0.975])
        covered += low <= 0.4 <= high
    assert 0.86 <= covered / 400 <= 0.95
    print(covered / 400)


def test_differences_equal_but_for_rounding_have_no_spread():
    """Twelve images of 797 at both seeds, as the subtraction of percentages gives them."""
    differences = [-1.5056461731493016, -1.5056461731493158]
    estimate = paired(differences)
    assert estimate.interval(0.95) is None and estimate.p_value is None
    assert welch(96.0, 1e-14, 3, 95.0, 0.0, 3).p_value is None
    one_image = [0.0, 0.01]  # of ten thousand
    assert paired(one_image).p_value is not None
