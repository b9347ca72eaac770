"""The control: fixed work that is timed beside a kernel, to tell a slow kernel from a slow machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.oracles.streaming import square_dtype

SIDE_STEP = 16
"""Sides of the control's matrices are multiples of this, as the tiles of matrix units are."""


@dataclass(frozen=True, eq=False)
class Control:
    """out = left @ right, each `[n, n]`, in buffers that exist already; calling it runs it once."""

    left: Tensor
    right: Tensor
    out: Tensor

    def __call__(self) -> Tensor:
        """Multiply; nothing is allocated."""
        return torch.mm(self.left, self.right, out=self.out)

    @property
    def flops(self) -> int:
        """Floating-point operations of one call, 2 n^3."""
        return 2 * self.left.shape[0] ** 3

    @property
    def name(self) -> str:
        """What is computed, such as `matmul-1024-float32`."""
        return f"matmul-{self.left.shape[0]}-{str(self.left.dtype).removeprefix('torch.')}"

    @staticmethod
    def of(flops: int, dtype: torch.dtype, device: torch.device, seed: int) -> Control:
        """A control of about `flops` on normal random numbers; another call gives one with buffers of its own.

        On a CPU float16 and, where it has no instructions for it, bfloat16 become float32: their products are
        emulated there and would not be what a kernel of that dtype waits for.
        """
        side = max(SIDE_STEP, SIDE_STEP * round(math.cbrt(flops / 2) / SIDE_STEP))
        generator = torch.Generator().manual_seed(seed)
        used = _multiplied(dtype) if device.type == "cpu" else dtype
        left, right = (torch.randn(side, side, generator=generator).to(device, used) for _ in range(2))
        return Control(left, right, torch.zeros_like(left))


def _multiplied(dtype: torch.dtype) -> torch.dtype:
    """The type that a CPU multiplies natively and that is nearest to `dtype`."""
    return square_dtype() if dtype == torch.bfloat16 else torch.promote_types(dtype, torch.float32)
