"""Queries attend to no later key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Span
from pytest_attn.problem.vocabulary import Alignment


@dataclass(frozen=True, slots=True)
class Causal:
    """Query i attends to keys j <= i + offset.

    align="bottom-right" (offset = Skv - Sq: the last query sees every key) is what flash-attention 2.1+ and decoding
    mean; with Sq > Skv its first rows see no key. align="top-left" (offset = 0) is PyTorch's is_causal.
    """

    align: Alignment = "bottom-right"

    heads_alike: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """The alignment; the offset follows from the lengths."""
        return f"causal-{self.align}"

    def offset(self, lengths: Lengths) -> int:
        """The last key of query 0."""
        return lengths.key - lengths.query if self.align == "bottom-right" else 0

    def row_step(self, lengths: Lengths) -> int:
        """The query length: no two rows share their spans."""
        return lengths.query

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """Keys that the first row of `rows` sees, which are full, and then those up to the last row's last."""
        first = _clip(rows.start + self.offset(lengths) + 1, lengths.key)
        last = _clip(rows.stop + self.offset(lengths), lengths.key)
        full = [Span(0, first, True)] if first else []
        return full + ([Span(first, last, False)] if last > first else [])

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """j <= i + offset."""
        query = torch.arange(rows.start, rows.stop).unsqueeze(1)
        return torch.arange(keys.start, keys.stop) <= query + self.offset(lengths)

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool `[Sq]`: i + offset < 0, the rows before the first key."""
        return torch.arange(lengths.query) + self.offset(lengths) < 0


def _clip(position: int, length: int) -> int:
    return min(max(position, 0), length)
