"""A known number in memory that a kernel allocates and does not write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

UNWRITTEN = 768.0
"""A number that every dtype holds exactly and no attention returns by chance."""

ALLOCATING = ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided")


class _Filling(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fills what the allocating operators return."""

    def __init__(self, number: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._number = number

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ALLOCATING and isinstance(returned, Tensor) and returned.is_floating_point():
            returned.fill_(self._number)
        return returned


@contextmanager
def unwritten_memory(number: float) -> Iterator[None]:
    """Memory from `torch.empty` and its kind holds `number`."""
    with _Filling(number):
        # The first operator under a mode loads torch's compiler, a second of time that is no kernel's.
        torch.empty(0)
        yield
