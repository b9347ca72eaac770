"""TF32: the numbers that tensor cores make of float32 operands."""

from __future__ import annotations

import torch
from torch import Tensor

UNIT_ROUNDOFF = 2.0**-11
"""10 bits of mantissa and the exponents of float32 (NVIDIA A100 Tensor Core GPU Architecture, 2020)."""

LOST_BITS = 13


def to_tf32(tensor: Tensor) -> Tensor:
    """The nearest TF32 numbers, ties away from zero as PTX's `cvt.rna` has it, in the tensor's own dtype; those of half
    types are TF32 numbers already. Infinities and NaN stay."""
    if tensor.dtype not in (torch.float32, torch.float64):
        return tensor
    bits = tensor.float().view(torch.int32)
    half, mask = 1 << (LOST_BITS - 1), -1 << LOST_BITS
    rounded = torch.where(tensor.isfinite(), (bits + half) & mask, bits)
    return rounded.view(torch.float32).to(tensor.dtype)
