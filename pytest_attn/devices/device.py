"""The device that kernels run on, and whether it is there."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class Device:
    """A device by name: `cpu`, `cuda`, `cuda:1`, `npu`, `npu:0`. torch_npu is imported only where an NPU is named."""

    name: str

    @property
    def type(self) -> str:
        """`cpu`, `cuda` or `npu`."""
        return self.name.partition(":")[0]

    @property
    def index(self) -> int:
        """Which device of the type."""
        return int(self.name.partition(":")[2] or 0)

    @cached_property
    def missing(self) -> str | None:
        """Why it is not there, as a constant reason; None if it is."""
        if self.type == "cpu":
            return None
        if self.type == "npu":
            if importlib.util.find_spec("torch_npu") is None:
                return "torch_npu is not installed"
            try:
                importlib.import_module("torch_npu")
            except (ImportError, RuntimeError, OSError):
                return "torch_npu does not load; is CANN installed?"
        backend = getattr(torch, self.type)
        if not backend.is_available():
            return f"no {self.type} device"
        return None if self.index < backend.device_count() else f"fewer {self.type} devices than the index asks for"

    @cached_property
    def torch(self) -> torch.device:
        """torch's device; only for one that is not missing."""
        return torch.device(self.name)

    def synchronize(self) -> None:
        """Wait for what was launched."""
        if self.type != "cpu":
            getattr(torch, self.type).synchronize(self.torch)
