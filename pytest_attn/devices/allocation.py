"""Memory that a device does not have."""

from __future__ import annotations

import re

import torch

NO_ROOM = re.compile(
    "not enough memory|can't allocate memory|out of memory|calculation overflowed|Overflow when unpacking|"
    "integer multiplication overflow|too large to convert|exceeds the maximum"
)
"""What torch says where it has no class of its own for that: `alloc_cpu.cpp`, sizes of 64 bits and more."""


def cannot_allocate(error: BaseException) -> bool:
    """Whether an exception says that there is no room for a tensor."""
    return isinstance(error, MemoryError | OverflowError | torch.OutOfMemoryError) or bool(NO_ROOM.search(str(error)))
