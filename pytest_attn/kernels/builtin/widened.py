"""The precision that the built-in kernels sum in: float32, or float64 where the inputs are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem


def widened(tensor: Tensor) -> Tensor:
    """The tensor in that precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def half(problem: Problem) -> bool:
    """Whether the inputs are of less than that precision."""
    return problem.dtype.itemsize < 4


def wide(problem: Problem) -> Literal["float32", "float64"]:
    """Its name, for the numerics of a kernel."""
    return "float64" if problem.accumulator_dtype == torch.float64 else "float32"


def last_place(problem: Problem) -> float:
    """One unit in its last place, relative: the error of an exponential of torch."""
    return float(torch.finfo(problem.accumulator_dtype).eps)
