"""Queries attend to the keys of one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Span


@dataclass(frozen=True, slots=True)
class Split:
    """Every query attends to the keys of split `number` of `count`: of the tiles of `tile` keys each split has
    ceil(tiles / count), the last ones fewer or none."""

    number: int
    count: int
    tile: int

    heads_alike: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """The split and how keys are shared out."""
        return f"split-{self.number}-{self.count}-{self.tile}"

    def keys(self, lengths: Lengths) -> range:
        """The keys of the split."""
        share = -(-lengths.key // (self.count * self.tile)) * self.tile
        return range(min(self.number * share, lengths.key), min((self.number + 1) * share, lengths.key))

    def row_step(self, lengths: Lengths) -> int:
        """The query length: all rows see the same keys."""
        return lengths.query

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """The keys of the split, all of them full."""
        own = self.keys(lengths)
        return [Span(own.start, own.stop, True)] if own else []

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """The keys of the split, whatever the row."""
        own, key = self.keys(lengths), torch.arange(keys.start, keys.stop)
        return ((key >= own.start) & (key < own.stop)).expand(len(rows), len(keys))

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool `[Sq]`: all rows where the split has no keys, else none."""
        return torch.full((lengths.query,), not self.keys(lengths))
