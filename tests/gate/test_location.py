"""Where a few processes lie."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_attn.gate.statistics import location, location_variance


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 9, 10])
def test_its_variance_is_that_of_normal_values(count: int) -> None:
    samples = np.random.default_rng(count).standard_normal((20_000, count))
    assert np.var([location(sample) for sample in samples]) == pytest.approx(location_variance(count), rel=0.05)


@pytest.mark.parametrize("count", [3, 4, 6, 10])
def test_one_process_that_is_far_off_does_not_carry_it_off(count: int) -> None:
    values = [*np.linspace(-1, 1, count - 1), 1e6]
    assert abs(location(values)) <= 1


def test_it_follows_a_shift() -> None:
    values = [0.3, 0.1, 0.9, 0.2]
    assert location([value + 2 for value in values]) == pytest.approx(location(values) + 2)
