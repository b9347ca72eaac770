"""Samples as plain data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_attn.bench.samples import Samples

SAMPLES = Samples(
    kernel=(0.1, 0.2),
    control=(0.3, 0.4),
    kernel_first=(True, False),
    control_again=((0.5, 0.7), (0.6, 0.8)),
    control_first=(False, True),
    kernel_calls=1,
    control_calls=2,
)


def test_series_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="samples: 1 of kernel, 2 of control"):
        replace(SAMPLES, kernel=(0.1,)).refuse_uneven()


def test_a_later_repetition_follows_round_by_round():
    both = SAMPLES.followed_by(SAMPLES)
    assert both.kernel == (0.1, 0.2, 0.1, 0.2)
    assert both.control_again == SAMPLES.control_again * 2
    assert (both.kernel_calls, both.rounds) == (1, 4)


def test_discarded_rounds_of_all_repetitions_are_counted():
    assert SAMPLES.followed_by(replace(SAMPLES, discarded=2)).discarded == 2


def test_times_that_throttling_left_none_of_say_so():
    assert replace(SAMPLES, kernel=(0.1, float("nan")), discarded=4).unusable == (
        "the device was throttled in 4 rounds, too often to time 1 others"
    )


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_times_without_statistics_say_so(seconds):
    assert replace(SAMPLES, kernel=(0.1, seconds)).unusable.startswith("1 times of the kernel are no times, as ")
    assert not SAMPLES.unusable
