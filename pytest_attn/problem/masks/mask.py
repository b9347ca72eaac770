"""The protocol of a mask: which query may attend to which key, pair by pair and as spans of keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of one sequence: queries and keys."""

    query: int
    key: int


class Span(NamedTuple):
    """Keys `start` to `stop` - 1; `full` where every one of the rows asked about may attend to all of them."""

    start: int
    stop: int
    full: bool


class Mask(Protocol):
    """Which query may attend to which key, per batch and query head. One rule everywhere: True = may attend.

    A mask whose rule is the same for every head may say so by `heads_alike = True`; its heads are computed together.
    """

    @property
    def key(self) -> str:
        """A text that is equal for equal masks and only for them; content keys of caches are made from it."""

    def row_step(self, lengths: Lengths) -> int:
        """Rows in one run of this many, counted from 0, share their spans; the query length where no such step
        exists."""

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """Ascending key spans that hold every key that some row of `rows` may attend to.

        `rows` does not cross a multiple of `row_step`.
        """

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """bool `[len(rows), len(keys)]`, True = may attend."""

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool that broadcasts to `[B, H, Sq]`: rows that may attend to nothing."""


def heads_alike(mask: Mask) -> bool:
    """Whether a mask says that its rule is the same for every head."""
    return bool(getattr(mask, "heads_alike", False))
