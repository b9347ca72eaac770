"""Medians, their exact bounds, spreads of few processes and many hypotheses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pytest_attn.gate.statistics import (
    contamination,
    control_share,
    discoveries,
    log_residuals,
    median_bounds,
    robust_sd,
    t_quantile,
    t_tail,
)

SEED = 11
RANDOM = np.random.default_rng(SEED)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    RANDOM.bit_generator.state = np.random.default_rng(SEED).bit_generator.state


def test_bounds_of_the_median_are_those_of_the_binomial_distribution() -> None:
    low, high = median_bounds(np.arange(1.0, 21.0), 0.99)
    assert (low, high) == (4.0, 17.0)
    assert stats.binom.cdf(3, 20, 0.5) <= 0.005 < stats.binom.cdf(4, 20, 0.5)


@pytest.mark.parametrize(("rounds", "possible"), [(5, False), (7, False), (8, True)])
def test_too_few_rounds_have_no_bounds(rounds: int, possible: bool) -> None:
    assert np.isfinite(median_bounds(np.arange(float(rounds)), 0.99)).all() == possible


def test_bounds_hold_the_median_as_often_as_they_say() -> None:
    samples = RANDOM.exponential(size=(2000, 20))
    bounds = np.array([median_bounds(sample, 0.95) for sample in samples])
    missed = np.mean((bounds[:, 0] > np.log(2)) | (bounds[:, 1] < np.log(2)))
    assert missed <= 0.055


@pytest.mark.parametrize("count", [5, 8, 20])
def test_the_robust_spread_of_few_normal_values_is_unbiased(count: int) -> None:
    found = [robust_sd(RANDOM.standard_normal(count)) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.05)


def test_one_bad_process_of_six_hardly_moves_the_robust_spread() -> None:
    assert robust_sd([0.0, 0.01, -0.01, 0.005, -0.005, 3.0]) < 0.03


def test_paired_residuals_cancel_what_both_arms_share() -> None:
    level = RANDOM.uniform(1, 2, 30)
    assert np.ptp(log_residuals(4 * level, 2 * level, 1.0)) == pytest.approx(0.0, abs=1e-12)
    assert np.ptp(log_residuals(4 * level, 2 * level, 0.0)) > 0.3


def test_the_control_share_is_the_regression_of_kernel_on_control() -> None:
    control = RANDOM.standard_normal(40)
    covariance, variance = control_share(0.47 * control, control)
    assert covariance / variance == pytest.approx(0.47)


def test_tails_and_quantiles_are_those_of_scipy() -> None:
    assert t_quantile(0.999, 12.0) == pytest.approx(stats.t.ppf(0.999, 12.0))
    assert t_tail(3.0, 12.0) == pytest.approx(stats.t.sf(3.0, 12.0))


def test_one_small_p_value_among_many_must_be_smaller() -> None:
    assert discoveries([0.008], 0.01) == (True,)
    assert not any(discoveries([0.008] + [0.5] * 49, 0.01))


def test_changes_of_everything_at_once_are_all_discovered() -> None:
    assert all(discoveries([0.008] * 50, 0.01))


def test_no_hypotheses_are_no_discoveries() -> None:
    assert discoveries([], 0.01) == ()


def pairs(*, shift: float = 0.0, spread: float = 0.01, count: int = 20) -> list[tuple[float, float]]:
    return [(1e-3 * float(np.exp(shift + spread * RANDOM.standard_normal())), 1e-3) for _ in range(count)]


def test_a_quiet_machine_is_not_contaminated() -> None:
    assert contamination(pairs(), 0.05) == ""


def test_a_control_that_differs_from_itself_is_contamination() -> None:
    assert "differs from itself by 10" in contamination(pairs(shift=0.1), 0.05)


def test_a_control_known_too_coarsely_is_contamination() -> None:
    assert "only" in contamination(pairs(spread=0.3), 0.05)


def test_too_few_pairs_say_nothing_of_the_machine() -> None:
    assert contamination(pairs(count=4), 0.05) == "only 4 pairs of the control against itself"
