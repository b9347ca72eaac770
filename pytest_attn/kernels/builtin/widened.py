"""The precision that the built-in kernels sum in: float32, or float64 where the inputs are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pytest_attn.kernels.numerics import BLAS_CHAIN, FEW_ROWS
from pytest_attn.problem.problem import Problem


def widened(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 where it is that already."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def half(problem: Problem) -> bool:
    """Whether the inputs are of less than that precision."""
    return problem.dtype.itemsize < 4


def wide(problem: Problem) -> Literal["float32", "float64"]:
    """Its name, for the numerics of a kernel."""
    return "float64" if problem.sum_dtype == torch.float64 else "float32"


def last_place(problem: Problem) -> float:
    """One unit in its last place, relative: the error of an exponential of torch."""
    return float(torch.finfo(problem.sum_dtype).eps)


def blas_chain(problem: Problem, rows: int) -> int | None:
    """The longest chain of a product on a CPU that has so many rows: MKL adds float64 in one chain, whatever the rows
    (measured), and float32, which half types are converted to, in one where the rows are few."""
    if problem.sum_dtype == torch.float64 or (rows <= FEW_ROWS and not half(problem)):
        return None
    return BLAS_CHAIN
