"""Every query attends to every key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Span


@dataclass(frozen=True, slots=True)
class Dense:
    """No mask."""

    @property
    def key(self) -> str:
        """See `Mask.key`."""
        return "dense"

    def row_step(self, lengths: Lengths) -> int:
        """See `Mask.row_step`."""
        return lengths.query

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """See `Mask.spans`."""
        return [Span(0, lengths.key, True)]

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """See `Mask.allowed`."""
        return torch.ones(len(rows), len(keys), dtype=torch.bool)

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """See `Mask.empty_rows`."""
        return torch.zeros(lengths.query, dtype=torch.bool)
