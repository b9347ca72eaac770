"""The limits hold the stated rate of false alarms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from pytest_attn.judge.verdict.statistics import FALSE_ALARMS, STATISTICS, largest_deviation, row_rms_limits, value_rank


def test_the_largest_of_many_normal_deviates_has_the_stated_rate() -> None:
    rate = 2 * stats.norm.sf(largest_deviation(10_000)) * 10_000
    assert rate == pytest.approx(FALSE_ALARMS / STATISTICS, rel=1e-6)


@pytest.mark.parametrize("degrees", [1.0, 2.5, 30.0, 128.0])
def test_a_row_limit_is_the_quantile_of_its_degrees_of_freedom(degrees: float) -> None:
    limits = row_rms_limits(torch.tensor([degrees] * 99 + [128.0], dtype=torch.float64))
    exact = np.sqrt(stats.chi2.isf(FALSE_ALARMS / STATISTICS / 100, degrees) / degrees)
    assert float(limits[0]) == pytest.approx(exact, rel=5e-3)


def test_fewer_degrees_of_freedom_give_wider_limits() -> None:
    limits = row_rms_limits(torch.tensor([1.0, 4.0, 16.0, 64.0]))
    assert bool((limits.diff() < 0).all())


def test_the_rank_of_equal_columns_is_one() -> None:
    assert value_rank(torch.randn(1, 1, 50, 1).expand(-1, -1, -1, 32)).item() == pytest.approx(1.0, rel=1e-3)


def test_the_rank_of_independent_columns_is_their_number() -> None:
    values = torch.randn(2, 3, 20_000, 32, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(value_rank(values), torch.tensor(32.0), rtol=0.01)


def test_the_rank_of_zero_values_is_one() -> None:
    assert value_rank(torch.zeros(1, 1, 50, 32)).item() == 1.0
