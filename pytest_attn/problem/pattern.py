"""The random block pattern of the published BSA generator, as plain data.

Source: the benchmark of `blitz_sparse_attention` (facts only; every line here is our own).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from pytest_attn.problem.frame import FrameWidths

BLOCK_MASK_SEED = 1234
"""Base seed of the published block masks; head h of batch b draws with BLOCK_MASK_SEED + b + h."""

KeptRows = tuple[tuple[int, ...], ...]
"""For each query-block row the kept key blocks, ascending."""


@dataclass(frozen=True)
class BlockPattern:
    """Which blocks of one head are kept, at a requested sparsity.

    `sparsity` is the requested fraction of blocks left out, 0 to 1; at least floor(blocks (1 - sparsity)) are kept.
    """

    query_length: int
    key_length: int
    block_shape: tuple[int, int]
    sparsity: float
    frame: FrameWidths = field(default_factory=FrameWidths)

    def __post_init__(self) -> None:
        if not 0.0 <= self.sparsity <= 1.0:
            raise ValueError(f"sparsity: {self.sparsity!r}; allowed: 0 to 1")
        if min(self.block_shape) < 1:
            raise ValueError(f"block_shape: {self.block_shape!r}; allowed: two positive block sizes")

    @property
    def rows(self) -> int:
        """Query blocks of a head, the last of which may be partial."""
        return -(-self.query_length // self.block_shape[0])

    @property
    def cols(self) -> int:
        """Key blocks of a head, the last of which may be partial."""
        return -(-self.key_length // self.block_shape[1])

    @property
    def blocks(self) -> int:
        """Blocks of the grid, kept or not."""
        return self.rows * self.cols

    @cached_property
    def forced_cols(self) -> frozenset[int]:
        """Key-block columns that every sparse row keeps."""
        left, right, _, _ = self.frame.as_tuple
        return frozenset(range(left)) | frozenset(range(self.cols - right, self.cols))

    @cached_property
    def dense_rows(self) -> frozenset[int]:
        """Query-block rows that keep every key block."""
        _, _, top, bottom = self.frame.as_tuple
        return frozenset(range(top)) | frozenset(range(self.rows - bottom, self.rows))

    @property
    def budget(self) -> int:
        # Float arithmetic as published: 60 * (1 - 0.9) floors to 5, and the cell counts depend on it.
        return math.floor(self.blocks * (1.0 - self.sparsity))

    @property
    def forced(self) -> int:
        sparse_rows = self.rows - len(self.dense_rows)
        return len(self.forced_cols) * sparse_rows + self.cols * len(self.dense_rows)

    @property
    def extra(self) -> int:
        """Key blocks drawn for each sparse row, beside the forced ones."""
        sparse_rows = self.rows - len(self.dense_rows)
        free = self.cols - len(self.forced_cols)
        return min(-(-(self.budget - self.forced) // sparse_rows), free) if sparse_rows else 0

    @property
    def leaves_out(self) -> bool:
        """Whether some row does not keep every key block."""
        return self.rows > len(self.dense_rows) and len(self.forced_cols) + self.extra < self.cols

    @cached_property
    def unsatisfiable(self) -> str | None:
        """Why no such pattern exists, as a constant reason; None if it exists."""
        left, right, top, bottom = self.frame.as_tuple
        if max(left, right) > self.cols or max(top, bottom) > self.rows:
            return "the frame is larger than the grid of blocks"
        if self.forced > self.budget:
            return "the frame keeps more blocks than the sparsity allows"
        if self.rows > len(self.dense_rows) and self.budget - self.forced < 1:
            return "the sparsity leaves no block to keep"
        return None

    def kept(self, seed: int) -> KeptRows:
        """The kept key blocks of each query-block row, as the published generator draws them with `seed`.

        Raises ValueError where the pattern is unsatisfiable.
        """
        if self.unsatisfiable:
            raise ValueError(f"block pattern: {self.unsatisfiable}: {self!r}")
        return _draw(self, seed)


@lru_cache(maxsize=256)
def _draw(pattern: BlockPattern, seed: int) -> KeptRows:
    generator = random.Random(seed)
    free = [column for column in range(pattern.cols) if column not in pattern.forced_cols]
    extra, every = pattern.extra, tuple(range(pattern.cols))
    return tuple(
        every if row in pattern.dense_rows else tuple(sorted(pattern.forced_cols.union(generator.sample(free, extra))))
        for row in range(pattern.rows)
    )
