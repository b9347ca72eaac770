"""The ways in which an author hands over a kernel, a file each; all end in `prepare(problem, inputs) -> run`."""

from __future__ import annotations

from typing import Any

from pytest_attn.kernels.adapters.function import FunctionKernel
from pytest_attn.kernels.adapters.prepared import Prepared, Run, is_prepared, prepared
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.gradients import Backward

__all__ = ["FunctionKernel", "Prepared", "Run", "adapt"]


def adapt(implementation: Any, capabilities: Capabilities, backward: Backward | None = None) -> Prepared:
    """What an author handed over, as something that prepares. Raises ValueError where a class with `prepare` comes with
    a backward function, which only a function has."""
    if is_prepared(implementation):
        if backward is not None:
            raise ValueError("kernel: backward is a function; allowed for a class with prepare: True or False")
        return prepared(implementation)
    return FunctionKernel(implementation, capabilities, backward)
