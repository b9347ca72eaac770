"""The limits hold the stated rate of false alarms, which the statistics of a result share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from pytest_attn.judge.verdict.false_alarms import PER_CELL, FalseAlarms
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.statistics import Statistic, judged

RATE = 1e-9


def test_a_cell_has_the_documented_rate() -> None:
    assert PER_CELL.rate == RATE


@pytest.mark.parametrize("rate", [0.0, 1.0, -1e-9, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"^rate of false alarms .*; allowed: more than 0 and less than 1$"):
        FalseAlarms(rate)


@pytest.mark.parametrize("among", [1, 3, 12])
def test_parts_add_up_to_the_whole(among: int) -> None:
    assert PER_CELL.shared(among).rate * among == pytest.approx(RATE)


def test_nothing_to_compare_takes_nothing() -> None:
    assert PER_CELL.shared(0) == PER_CELL


def test_the_largest_of_many_normal_deviates_has_the_stated_rate() -> None:
    rate = 2 * stats.norm.sf(PER_CELL.largest_deviation(10_000)) * 10_000
    assert rate == pytest.approx(RATE, rel=1e-6)


@pytest.mark.parametrize("degrees", [1.0, 2.5, 30.0, 128.0])
def test_a_row_limit_is_the_quantile_of_its_degrees_of_freedom(degrees: float) -> None:
    limits = PER_CELL.row_rms_limits(torch.tensor([degrees] * 99 + [128.0], dtype=torch.float64))
    exact = np.sqrt(stats.chi2.isf(RATE / 100, degrees) / degrees)
    assert float(limits[0]) == pytest.approx(exact, rel=5e-3)


def test_fewer_degrees_of_freedom_give_wider_limits() -> None:
    limits = PER_CELL.row_rms_limits(torch.tensor([1.0, 4.0, 16.0, 64.0]))
    assert bool((limits.diff() < 0).all())


@pytest.mark.parametrize("degrees", [1.0, 40.0, 5000.0])
def test_the_limit_of_an_rms_is_the_quantile_of_its_degrees_of_freedom(degrees: float) -> None:
    assert stats.chi2.sf(PER_CELL.rms_limit(degrees) ** 2 * degrees, degrees) == pytest.approx(RATE, rel=1e-6)


def recorded(rates: list[float], sees: bool = True) -> Statistic:
    """A statistic that is over its limit, and keeps the rate that it was given."""

    def measure(alarms: FalseAlarms, figures: dict[str, float]) -> Finding:
        rates.append(alarms.rate)
        return Finding(what="off", words="off")

    return Statistic(measure, lambda alarms: sees)


def test_statistics_share_the_rate_in_equal_parts() -> None:
    rates: list[float] = []
    assert len(judged([recorded(rates)] * 5, FalseAlarms(0.1)).findings) == 5
    assert rates == [pytest.approx(0.02)] * 5


def test_a_blind_statistic_takes_no_part() -> None:
    rates: list[float] = []
    blind = recorded(rates, sees=False)
    assert len(judged([recorded(rates), blind, recorded(rates)], FalseAlarms(0.1)).findings) == 2
    assert rates == [pytest.approx(0.05)] * 2
