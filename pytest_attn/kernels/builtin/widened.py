"""The precision that the built-in kernels compute in: float32, or float64 where the inputs are."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem


def widened(tensor: Tensor) -> Tensor:
    """The tensor in that precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def last_place(problem: Problem) -> float:
    """One unit in its last place, relative: the error of torch's exponential."""
    return float(torch.finfo(problem.sum_dtype).eps)
