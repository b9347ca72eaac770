"""The check of a clock: whether it sees work, or only its launch."""

from __future__ import annotations

import torch

from pytest_attn.bench.clock import Clock, clock_for
from pytest_attn.bench.control import Control
from pytest_attn.devices.device import Device

SIDES = {"cpu": 384}
SIDE = 2048
"""Of the smaller of two square matmuls, long beside the launch of one: a millisecond on a CPU, a tenth on a GPU."""

TIMES = 8
"""The larger one's FLOPs over the smaller one's: it has twice the side."""

LEAST_GROWTH = 2.0
"""So many times longer it takes at least; a launch takes as long whatever is launched."""

TRIES = 5


class BlindClockError(ValueError):
    """A clock whose times say nothing of the work."""


def why_blind(clock: Clock, device: Device) -> str:
    """Why the times of a clock do not depend on the work, as where nobody waits for the device; empty where they do."""
    side = SIDES.get(device.type, SIDE)
    short, long = (_fastest(clock, side * factor, device.torch) for factor in (1, 2))
    if short > 0 and long >= LEAST_GROWTH * short:
        return ""
    grown = f"{long / short:.2g} times as long" if short > 0 else f"{long:g} s"
    return f"{clock.name}: {TIMES} times the work took {grown}; it times launches, not the work of the device"


def checked_clock(device: Device) -> Clock:
    """The clock of a device. Raises BlindClockError, a ValueError, where it times launches instead of work."""
    clock = clock_for(device)
    if why := why_blind(clock, device):
        raise BlindClockError(why)
    return clock


def _fastest(clock: Clock, side: int, device: torch.device) -> float:
    control = Control.of(2 * side**3, torch.float32, device, seed=0)
    clock.measure(control)
    return min(clock.measure(control) for _ in range(TRIES))
