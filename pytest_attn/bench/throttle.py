"""Throttling: whether a device runs slower than it could, because it is too hot or lacks power."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from pytest_attn.devices.device import Device

Throttled = Callable[[], bool]
"""Whether the device is throttled now."""

REASONS = 0x8 | 0x20 | 0x40 | 0x80
"""Bits of NVML's clocks event reasons: hardware slowdown, software and hardware thermal slowdown, power brake.

The software power cap (0x4) is not among them: a matmul at full load meets it on a healthy board all the time.
"""


def never() -> bool:
    """Of a device that does not tell."""
    return False


def throttle_of(device: Device) -> Throttled:
    """What tells whether a device is throttled: NVML for CUDA, where the package nvidia-ml-py is installed."""
    if device.type != "cuda":
        return never
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return never
    unit = torch.cuda.get_device_properties(device.torch).uuid
    try:
        nvml.nvmlInit()
        return _by_nvml(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{unit}"))
    except nvml.NVMLError:
        # A driver without NVML, as in a container, is no reason not to measure.
        return never


def _by_nvml(nvml: Any, handle: Any) -> Throttled:
    # NVML renamed the call in version 12.
    names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    reasons = next(getattr(nvml, name) for name in names if hasattr(nvml, name))
    return lambda: bool(reasons(handle) & REASONS)
