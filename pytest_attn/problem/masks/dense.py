"""Every query attends to every key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Span


@dataclass(frozen=True, slots=True)
class Dense:
    """Query i attends to every key j."""

    heads_alike: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """The mask has no parameters."""
        return "dense"

    def row_step(self, lengths: Lengths) -> int:
        """The query length: all rows see the same keys."""
        return lengths.query

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """All keys, full."""
        return [Span(0, lengths.key, True)]

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """True everywhere."""
        return torch.ones(len(rows), len(keys), dtype=torch.bool)

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool `[Sq]`: no row; sequences have keys."""
        return torch.zeros(lengths.query, dtype=torch.bool)
