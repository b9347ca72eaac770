"""A mask of one formula over the positions of query and key, as FlexAttention's `mask_mod`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Span

Formula = Callable[[Tensor, Tensor, Lengths], Tensor]
"""(query position `[R, 1]`, key position `[K]`, lengths) -> bool `[R, K]`, True = may attend."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Query i attends to key j where the formula says so, in every batch and head; `key` names the formula and its
    parameters."""

    key: str
    formula: Formula

    heads_alike: ClassVar[bool] = True

    def row_step(self, lengths: Lengths) -> int:
        """See `Mask.row_step`."""
        return lengths.query

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """See `Mask.spans`: from the first key that some row attends to through the last."""
        seen = self.allowed(lengths, batch, head, rows, range(lengths.key)).any(dim=0).nonzero().flatten().tolist()
        return [Span(seen[0], seen[-1] + 1, False)] if seen else []

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """See `Mask.allowed`."""
        query = torch.arange(rows.start, rows.stop).unsqueeze(1)
        return self.formula(query, torch.arange(keys.start, keys.stop), lengths).expand(len(rows), len(keys))

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """See `Mask.empty_rows`."""
        return ~self.allowed(lengths, 0, 0, range(lengths.query), range(lengths.key)).any(dim=1)
