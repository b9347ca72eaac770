"""Tensors rounded so coarsely that sums of them are exact in every dtype."""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEPS = 64
"""Largest multiple of the grid's step. Sums of four are exact: bfloat16 holds every integer up to 256."""


def step_of(tensor: Tensor) -> float:
    """The power of two of which the largest element is at most 64."""
    largest = float(tensor.abs().max())
    return 2.0 ** (math.ceil(math.log2(largest)) - 6) if largest else 1.0 / STEPS


def coarse(tensor: Tensor) -> Tensor:
    """The tensor rounded to multiples of its step."""
    step = step_of(tensor)
    return ((tensor.double() / step).round() * step).to(tensor.dtype)


def drawn(tensor: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random multiples of the step of a tensor, in its dtype and on its device."""
    steps = torch.randint(-STEPS, STEPS + 1, shape, generator=generator)
    return (steps * step_of(tensor)).to(tensor.device, tensor.dtype)
