"""Free memory full of NaN, so that what a kernel leaves unwritten is no right result of an earlier call."""

from __future__ import annotations

import math

import torch

from pytest_attn.problem.problem import Problem

NAN_BYTE = 255
"""Repeated, a NaN in every floating type of 8 to 64 bits."""


def spoil_free_memory(problem: Problem, device: torch.device) -> None:
    """Fill memory of the sizes of a problem's results, and free it: the allocator hands it out again, or fresh pages.

    The kernel runs as ever: no mode of torch is set, and no address is promised.
    """
    sizes = {_bytes(problem.out_shape, dtype) for dtype in (problem.out_dtype, problem.sum_dtype)}
    sizes.add(_bytes(problem.lse_shape, problem.sum_dtype))
    held = [torch.full((size,), NAN_BYTE, dtype=torch.uint8, device=device) for size in sorted(sizes)]
    del held


def _bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return math.prod(shape) * dtype.itemsize
