"""What a kernel reads that takes other sizes or strides for those of a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def reread(tensor: Tensor, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
    """The memory of a tensor from its first element on, under another shape and other strides; NaN beyond its
    memory."""
    memory = tensor.untyped_storage().nbytes() // tensor.element_size() - tensor.storage_offset()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    flat = tensor.as_strided((memory,), (1,))
    longer = torch.cat([flat, flat.new_full((max(extent - memory, 0),), torch.nan)])
    return longer.as_strided(tuple(shape), tuple(strides), 0)


def contiguous_strides(shape: Sequence[int]) -> list[int]:
    """The strides of a contiguous tensor."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return strides
