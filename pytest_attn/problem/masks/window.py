"""Queries attend to the keys near their own position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Span


@dataclass(frozen=True, slots=True)
class Window:
    """Query i attends to keys i + Skv - Sq - left <= j <= i + Skv - Sq + right; None = no limit on that side."""

    left: int | None
    right: int | None

    heads_alike: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """The two limits."""
        return f"window-{self.left}-{self.right}"

    def row_step(self, lengths: Lengths) -> int:
        """The query length: no two rows share their spans."""
        return lengths.query

    def _seen(self, lengths: Lengths, row: int) -> tuple[int, int]:
        """The first key of a row and the one behind its last."""
        at = row + lengths.key - lengths.query
        start = 0 if self.left is None else at - self.left
        stop = lengths.key if self.right is None else at + self.right + 1
        return min(max(start, 0), lengths.key), min(max(stop, 0), lengths.key)

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """From the first key of the first row to the last of the last row; full from the first key of the last row to
        the last of the first."""
        (first, first_stop), (last_start, last) = self._seen(lengths, rows.start), self._seen(lengths, rows[-1])
        if last_start >= first_stop:
            cuts = [Span(first, last, False)]
        else:
            cuts = [Span(first, last_start, False), Span(last_start, first_stop, True), Span(first_stop, last, False)]
        return [span for span in cuts if span.start < span.stop]

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """at - left <= j <= at + right with at = i + Skv - Sq."""
        at = torch.arange(rows.start, rows.stop).unsqueeze(1) + lengths.key - lengths.query
        key = torch.arange(keys.start, keys.stop)
        seen = torch.ones(len(rows), len(keys), dtype=torch.bool)
        if self.left is not None:
            seen &= key >= at - self.left
        if self.right is not None:
            seen &= key <= at + self.right
        return seen

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool `[Sq]`: the rows whose window holds no key."""
        seen = (self._seen(lengths, row) for row in range(lengths.query))
        return torch.tensor([start >= stop for start, stop in seen])
