"""Clocks that time launches are found out, a busy device is called so, and the clock of a CPU is not asked."""

from __future__ import annotations

import itertools

import pytest

from pytest_attn.bench import clock_check
from pytest_attn.bench.clock import CpuClock
from pytest_attn.bench.clock_check import BlindClockError, checked_clock, why_blind
from pytest_attn.devices.device import Device

SIDE = 16


class MadeUpClock:
    """A clock that says what it is told to for the smaller and the larger of two works."""

    name = "made up"
    resolution = 1e-9

    def __init__(self, short, long):
        self.told = {SIDE: itertools.cycle(short), 2 * SIDE: itertools.cycle(long)}
        self.readings = 0

    def measure(self, work, before=None):
        self.readings += 1
        return next(self.told[work.left.shape[0]])


def why(short, long):
    return why_blind(MadeUpClock(short, long), Device("cpu"), side=SIDE)


def test_a_clock_that_waits_for_the_work_sees_it_grow():
    assert why([1e-4], [8e-4]) == ""


def test_a_clock_whose_times_do_not_grow_with_the_work_times_launches():
    assert why([5e-6], [5e-6]) == (
        "made up: 8 times the work took 1 times as long; it times launches, not the work of the device"
    )


def test_launches_of_a_busy_host_do_not_pass_for_work():
    # Now and then a launch takes ten times as long; the fastest never do.
    assert why([5e-6, 5e-5, 6e-6], [5e-6, 6e-6, 5e-5, 5e-6]) != ""


@pytest.mark.parametrize("seconds", [0.0, float("nan")])
def test_a_clock_that_stands_still_sees_no_work(seconds):
    assert "times launches" in why([seconds], [seconds])


def test_what_a_first_try_does_not_show_a_later_one_may():
    disturbed = [8e-4] * 6
    clock = MadeUpClock([*disturbed, *([1e-4] * 20)], [8e-4])
    assert why_blind(clock, Device("cpu"), side=SIDE) == ""
    assert clock.readings > 2 * (clock_check.READINGS + 1)


def test_a_device_that_is_never_idle_is_called_busy():
    told = why([4e-4, 9e-4, 8e-4], [5e-4, 2e-3, 3e-3])
    assert "the device is busy: the same work takes now 0.0004 s and now more" in told
    assert "launches" not in told


def test_a_device_whose_clock_is_blind_is_refused(monkeypatch):
    monkeypatch.setattr(clock_check, "clock_for", lambda device: MadeUpClock([5e-6], [5e-6]))
    monkeypatch.setattr(clock_check, "why_blind", lambda clock, device: why([5e-6], [5e-6]))
    with pytest.raises(BlindClockError, match="times launches"):
        checked_clock(Device("cuda"))


def test_the_clock_of_a_cpu_is_not_asked(monkeypatch):
    monkeypatch.setattr(clock_check, "why_blind", lambda clock, device: "asked")
    assert checked_clock(Device("cpu")) == CpuClock()
