"""The ways in which an author hands over a kernel, a file each; all end in `prepare(problem, inputs) -> run`."""

from __future__ import annotations

import inspect
from typing import Any

from pytest_attn.kernels.adapters.function import FunctionKernel
from pytest_attn.kernels.adapters.prepared import Prepared, PreparedRun, is_prepared, prepared
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.gradients import Backward

__all__ = ["FunctionKernel", "Prepared", "PreparedRun", "adapt"]

ALLOWED = (
    "allowed: a function (query, key, value, ...), a class with prepare(problem, inputs), or what @pytest_attn.kernel "
    "returns"
)
"""What can be a kernel, as a refusal says it."""


def adapt(implementation: Any, capabilities: Capabilities, backward: Backward | None = None) -> Prepared:
    """What an author handed over, as something that prepares. Raises ValueError where it is neither a function nor a
    class with `prepare`, and where such a class comes with a backward function, which only a function has."""
    if is_prepared(implementation):
        if backward is not None:
            raise ValueError("backward is a function; allowed for a class with prepare: True or False")
        return prepared(implementation)
    if inspect.isclass(implementation):
        raise ValueError(f"{implementation.__name__} is a class without prepare; {ALLOWED}")
    if not callable(implementation):
        raise ValueError(f"it is of type {type(implementation).__name__}; {ALLOWED}")
    return FunctionKernel(implementation, capabilities, backward)
