"""Samples as plain data."""

from __future__ import annotations

import json
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


def test_they_come_back_from_json_as_they_were():
    assert Samples.of_dict(json.loads(json.dumps(SAMPLES.as_dict()))) == SAMPLES


def test_a_series_that_is_missing_is_named():
    plain = SAMPLES.as_dict()
    del plain["control"]
    with pytest.raises(ValueError, match="samples: control is missing; allowed: all of kernel, control, "):
        Samples.of_dict(plain)


def test_series_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="samples: 1 of kernel, 2 of control"):
        Samples.of_dict(SAMPLES.as_dict() | {"kernel": [0.1]})


def test_a_later_sitting_follows_round_by_round():
    both = SAMPLES.followed_by(SAMPLES)
    assert both.kernel == (0.1, 0.2, 0.1, 0.2)
    assert both.control_again == SAMPLES.control_again * 2
    assert (both.kernel_calls, both.rounds) == (1, 4)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_times_without_statistics_say_so(seconds):
    assert replace(SAMPLES, kernel=(0.1, seconds)).unusable.startswith("1 times of the kernel are no times, as ")
    assert not SAMPLES.unusable
