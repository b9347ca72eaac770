"""Where a statistic is worst."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS_NAMED = 128
"""A finding names the run of this many rows in which its worst row lies."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest share of its limit that a statistic reaches, and where."""

    share: float
    batch: int
    head: int
    row: int
    over: int
    """Rows over the limit."""

    @staticmethod
    def of(shares: Tensor) -> Worst:
        """The worst of `[B, H, Sq]` shares of a limit; NaN counts as the worst."""
        flat = torch.where(torch.isnan(shares), math.inf, shares).flatten()
        index = int(flat.argmax())
        _, heads, rows = shares.shape
        over = int((flat > 1.0).sum())
        return Worst(float(flat[index]), index // (heads * rows), index // rows % heads, index % rows, over)

    def place(self, shape: torch.Size) -> str:
        """Head and rows in words, e.g. "head 1, rows 896-1023"."""
        first = self.row // ROWS_NAMED * ROWS_NAMED
        last = min(first + ROWS_NAMED, shape[2]) - 1
        batch = f"batch {self.batch}, " if shape[0] > 1 else ""
        rows = f"row {first}" if first == last else f"rows {first}-{last}"
        return f"{batch}head {self.head}, {rows} ({self.over} of {shape.numel()} rows over the limit)"

    def at(self, values: Tensor) -> float:
        """The value there of `[B, H, Sq]`."""
        return float(values[self.batch, self.head, self.row])
