"""The machine that a time belongs to: its key, which stays the same from run to run, its device and its versions."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_attn.devices.allocator import is_warm

if TYPE_CHECKING:
    from pytest_attn.devices.device import Device

CPU_INFO = Path("/proc/cpuinfo")
CPU_WORDS = re.compile(r"\((?:r|tm|c)\)|\bcpu\b|\bprocessor\b|@.*$|\b\d+-core\b", re.IGNORECASE)
"""Parts of a CPU's name that say nothing, or something that changes: marks, the nominal clock, the cores."""

DRIVERS = {"cuda": Path("/proc/driver/nvidia/version"), "npu": Path("/usr/local/Ascend/driver/version.info")}
GPUS = Path("/proc/driver/nvidia/gpus")
"""A folder for each of NVIDIA's, whose file `information` starts with the model."""

PACKAGES = ("pytest-attn", "torch", "torch_npu", "triton")


def machine_key(accelerator: str = "", *, cpuinfo: Path = CPU_INFO, cores: int | None = None) -> str:
    """Lower-case letters, digits and `-`: the accelerator's model, or without one the CPU's model and its cores.

    Driver, torch and Python are no part of it, and no clock reading is: these change while the machine stays.
    `cores` None asks the system. Raises ValueError where `accelerator` is given and has no letter or digit.
    """
    if accelerator:
        return _slug(accelerator, "accelerator")
    count = cores if cores is not None else os.cpu_count() or 1
    return f"{_slug(CPU_WORDS.sub(' ', cpu_model(cpuinfo)), 'CPU model')}-{count}-cores"


def key_of(device: str) -> str:
    """The key of the machine that a device belongs to; of an accelerator that is not here, its name. Imports torch for
    an accelerator only."""
    if device.partition(":")[0] == "cpu":
        return machine_key()
    from pytest_attn.devices.device import Device

    found = Device(device)
    return machine_key(device if found.missing else device_model(found))


def cpu_model(cpuinfo: Path = CPU_INFO) -> str:
    """The CPU's name as Linux reports it; elsewhere, or where Linux names none, what Python's `platform` knows."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(\S.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine() or "unknown"


def processor(cpuinfo: Path = CPU_INFO, gpus: Path = GPUS) -> str:
    """What tells whether code that is compiled for this machine runs on another: the architecture, name and
    instructions of its processor, and the models of NVIDIA's GPUs in it."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(\S.*)$", text, re.MULTILINE)
    models = sorted({line for file in gpus.glob("*/information") for line in file.read_text().splitlines()[:1]})
    return " ".join((platform.machine(), cpu_model(cpuinfo), found[1] if found else "", *models))


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_model(device: Device) -> str:
    """The model of the device, such as `NVIDIA H100 80GB HBM3`; of a CPU, what the system calls it."""
    if device.type == "cpu":
        return cpu_model()
    import torch

    return str(getattr(torch, device.type).get_device_name(device.torch))


def device_unit(device: Device) -> str:
    """The very device among those of its model: the UUID of a GPU, or its PCI address; empty for a CPU, and where the
    driver tells neither."""
    if device.type == "cpu":
        return ""
    import torch

    properties = getattr(torch, device.type).get_device_properties(device.torch)
    if unit := getattr(properties, "uuid", None):
        return str(unit)
    bus = [getattr(properties, f"pci_{name}_id", None) for name in ("domain", "bus", "device")]
    return ":".join(f"{number:02x}" for number in bus if number is not None)


def versions(device: Device) -> dict[str, str]:
    """Versions of Python, of the packages that a kernel runs on, and of the toolkit and driver of the device; on a CPU
    also whether memory is kept that was freed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if device.type == "cpu" and is_warm():
        found["allocator"] = "warm"
    if device.type == "cuda":
        import torch

        if torch.version.cuda:
            found["cuda"] = torch.version.cuda
    driver = DRIVERS.get(device.type)
    if driver is not None and driver.is_file():
        found["driver"] = driver.read_text().splitlines()[0].strip()
    return found


def _slug(name: str, what: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise ValueError(f"{what} {name!r} has no letter or digit to name a machine by")
    return slug
