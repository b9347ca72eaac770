"""Clocks that time launches are found out."""

from __future__ import annotations

import pytest

from pytest_attn.bench.clock import CpuClock
from pytest_attn.bench.clock_check import why_blind
from pytest_attn.devices.device import Device


class LaunchClock:
    """A clock that runs the work and tells what its launch took, as one that does not wait for the device."""

    name = "launches"
    resolution = 1e-9

    def __init__(self, seconds):
        self.seconds = seconds

    def measure(self, work, before=None):
        work()
        return self.seconds


def test_a_clock_that_waits_for_the_work_sees_it_grow():
    assert why_blind(CpuClock(), Device("cpu")) == ""


def test_a_clock_whose_times_do_not_grow_with_the_work_times_launches():
    assert why_blind(LaunchClock(5e-6), Device("cpu")) == (
        "launches: 8 times the work took 1 times as long; it times launches, not the work of the device"
    )


@pytest.mark.parametrize("seconds", [0.0, float("nan")])
def test_a_clock_that_stands_still_sees_no_work(seconds):
    assert "times launches" in why_blind(LaunchClock(seconds), Device("cpu"))
