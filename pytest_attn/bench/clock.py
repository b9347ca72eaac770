"""Clocks: how long work takes on the device that does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import torch

from pytest_attn.devices.device import Device

Work = Callable[[], Any]


class Clock(Protocol):
    """Measures work on one device."""

    @property
    def name(self) -> str:
        """What is read."""

    @property
    def resolution(self) -> float:
        """Seconds that a reading may be off by."""

    def measure(self, work: Work, before: Work | None = None) -> float:
        """Seconds that `work` takes on the device, from idle to done; `before` runs first and is not timed."""


@dataclass(frozen=True)
class CpuClock:
    """`time.perf_counter`."""

    name: str = "perf_counter"
    resolution: float = time.get_clock_info("perf_counter").resolution

    def measure(self, work: Work, before: Work | None = None) -> float:
        """Wall time of the call."""
        if before is not None:
            before()
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


@dataclass(frozen=True)
class EventClock:
    """Events of a CUDA or NPU stream around the work; no time of the host enters.

    `backend` is `torch.cuda` or `torch.npu`. `before` stays queued in front of the first event, so that the device is
    busy while the host launches the work and no launch is timed.
    """

    backend: ModuleType
    device: Any
    name: str
    resolution: float = 5e-7
    """Documented for CUDA events; taken for NPU events, too."""

    def measure(self, work: Work, before: Work | None = None) -> float:
        """Time between two events on the current stream; waits for the device before and after."""
        start, end = (self.backend.Event(enable_timing=True) for _ in range(2))
        self.backend.synchronize(self.device)
        if before is not None:
            before()
        start.record()
        work()
        end.record()
        self.backend.synchronize(self.device)
        return float(start.elapsed_time(end)) * 1e-3


def clock_for(device: Device) -> Clock:
    """The clock of a device. Raises ValueError where the device is missing."""
    if device.missing:
        raise ValueError(f"clock: device {device.name} is missing: {device.missing}")
    if device.type == "cpu":
        return CpuClock()
    return EventClock(getattr(torch, device.type), device.torch, f"{device.type} events")
