"""Queries attend to the keys that two masks allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Mask, Span, heads_alike
from pytest_attn.problem.masks.visible import rows_without_keys


@dataclass(frozen=True, slots=True)
class Both:
    """Query i attends to key j where `first` and `second` allow it."""

    first: Mask
    second: Mask

    @property
    def key(self) -> str:
        """The keys of the two masks."""
        return f"both({self.first.key})({self.second.key})"

    @property
    def heads_alike(self) -> bool:
        """Whether those of both masks are."""
        return heads_alike(self.first) and heads_alike(self.second)

    def row_step(self, lengths: Lengths) -> int:
        """The greatest common divisor of the two steps."""
        steps = [step for step in (m.row_step(lengths) for m in (self.first, self.second)) if step < lengths.query]
        return math.gcd(*steps) if steps else lengths.query

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """The intersections of the two masks' spans, full where both are."""
        mine, others = (list(mask.spans(lengths, batch, head, rows)) for mask in (self.first, self.second))
        found: list[Span] = []
        while mine and others:
            one, other = mine[0], others[0]
            start, stop = max(one.start, other.start), min(one.stop, other.stop)
            if start < stop:
                found.append(Span(start, stop, one.full and other.full))
            (mine if one.stop <= other.stop else others).pop(0)
        return found

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """What both masks allow."""
        first, second = (mask.allowed(lengths, batch, head, rows, keys) for mask in (self.first, self.second))
        return first & second

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool `[B or 1, H or 1, Sq]`: counted pair by pair; each mask may hide the keys that the other leaves."""
        return rows_without_keys(self, lengths, self.first, self.second)
