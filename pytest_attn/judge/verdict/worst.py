"""Where a statistic is worst, or a fact first wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.verdict.finding import Place

ROWS_NAMED = 128
"""A finding names the run of this many rows, a block of queries, in which its worst row lies."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest share of its limit that a statistic reaches, and where."""

    share: float
    """The statistic over its limit there; infinite where it is NaN."""

    batch: int
    head: int
    row: int
    over: int
    """How many rows of all batches and heads are over their limit."""

    @staticmethod
    def of(shares: Tensor) -> Worst:
        """The worst of `[B, H, Sq]` shares of a limit; NaN counts as the worst."""
        flat = torch.where(torch.isnan(shares), math.inf, shares).flatten()
        index = int(flat.argmax())
        _, heads, rows = shares.shape
        over = int((flat > 1.0).sum())
        return Worst(float(flat[index]), index // (heads * rows), index // rows % heads, index % rows, over)

    def place(self, shape: torch.Size) -> Place:
        """The place among all rows `[B, H, Sq]`: the run of rows in which the worst lies, and how many are over."""
        first = self.row // ROWS_NAMED * ROWS_NAMED
        last = min(first + ROWS_NAMED, shape[2]) - 1
        return Place(
            which="worst",
            batch=self.batch,
            head=self.head,
            rows=(first, last),
            count=self.over,
            of=shape.numel(),
            batches=shape[0],
        )

    def at(self, values: Tensor) -> float:
        """The number of a tensor `[B, H, Sq]` in that row."""
        return float(values[self.batch, self.head, self.row])


def first_place(wrong: Tensor, of: int | None = None) -> Place | None:
    """The first row that a bool `[B, H, Sq]` marks, and how many of `of` rows, by default of all; None without any."""
    if not bool(wrong.any()):
        return None
    where = wrong.nonzero()
    batch, head, row = where[0].tolist()
    return Place(
        which="first",
        batch=batch,
        head=head,
        rows=(row, row),
        count=len(where),
        of=wrong.numel() if of is None else of,
        batches=len(wrong),
    )
