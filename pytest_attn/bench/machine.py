"""The machine that measures: its name and the versions of what runs on it."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from pytest_attn.device import Device

CPU_INFO = Path("/proc/cpuinfo")
DRIVERS = {"cuda": Path("/proc/driver/nvidia/version"), "npu": Path("/usr/local/Ascend/driver/version.info")}
PACKAGES = ("pytest-attn", "torch", "torch_npu", "triton")


def device_name(device: Device) -> str:
    """The model of the device, such as `NVIDIA H100 80GB HBM3`; of a CPU, what the system calls it."""
    if device.type != "cpu":
        return str(getattr(torch, device.type).get_device_name(device.torch))
    names = re.search(r"^model name\s*:\s*(.+)$", CPU_INFO.read_text(), re.M) if CPU_INFO.is_file() else None
    return names[1].strip() if names else platform.processor() or platform.machine()


def versions(device: Device) -> dict[str, str]:
    """Versions of Python, of the packages that a kernel runs on, and of the toolkit and driver of the device."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if device.type == "cuda" and torch.version.cuda:
        found["cuda"] = torch.version.cuda
    driver = DRIVERS.get(device.type)
    if driver is not None and driver.is_file():
        found["driver"] = driver.read_text().splitlines()[0].strip()
    return found
