"""The check of a device's clock: whether it sees work, or only its launch."""

from __future__ import annotations

import statistics

import torch

from pytest_attn.bench.clock import Clock, clock_for
from pytest_attn.bench.control import Control
from pytest_attn.devices.device import Device

SIDE = 2048
"""Of the smaller of two square matmuls, long beside the launch of one: a tenth of a millisecond on a GPU."""

TIMES = 8
"""The larger one's FLOPs over the smaller one's: it has twice the side."""

LEAST_GROWTH = 2.0
"""So many times longer it takes at least; a launch takes as long whatever is launched."""

READINGS = 5
"""Of each, in one try."""

TRIES = 4

BUSY = 1.5
"""Readings of the same work whose median is so many times their fastest are not of a device that was idle before."""


class BlindClockError(ValueError):
    """A clock whose times say nothing of the work, or not while others use the device."""


def why_blind(clock: Clock, device: Device, *, side: int = SIDE) -> str:
    """Why the times of a clock say nothing of the work: they do not depend on it, as where nobody waits for the device,
    or the device was never idle; empty where they grow with the work.

    The fastest readings are compared, of all tries until they tell: what disturbs a reading makes it longer, so more
    of them come nearer to the work, or to its launch.
    """
    works = [Control.of(2 * (side * factor) ** 3, torch.float32, device.torch, seed=0) for factor in (1, 2)]
    for work in works:
        clock.measure(work)
    readings: list[tuple[float, float]] = []
    for _ in range(TRIES):
        readings += [(clock.measure(works[0]), clock.measure(works[1])) for _ in range(READINGS)]
        short, long = (min(times) for times in zip(*readings, strict=True))
        if short > 0 and long >= LEAST_GROWTH * short:
            return ""
    grown = f"{long / short:.2g} times as long" if short > 0 else f"{long:g} s"
    if any(_busy(times) for times in zip(*readings, strict=True)):
        return (
            f"{clock.name}: the device is busy: the same work takes now {short:.2g} s and now more, {TIMES} times the "
            f"work {grown}; measure while nothing else uses it"
        )
    return f"{clock.name}: {TIMES} times the work took {grown}; it times launches, not the work of the device"


def _busy(times: tuple[float, ...]) -> bool:
    return min(times) > 0 and statistics.median(times) > BUSY * min(times)


def checked_clock(device: Device) -> Clock:
    """The clock of a device. Raises BlindClockError, a ValueError, where it times launches instead of work.

    That of a CPU is not asked: its work is done when the call returns, so that there is no launch to be timed.
    """
    clock = clock_for(device)
    if device.type != "cpu" and (why := why_blind(clock, device)):
        raise BlindClockError(why)
    return clock
