"""A correct kernel whose result is kept before its last rounding, so that defects can be merged into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.oracles.slabs import TILE_KEYS, TILE_ROWS, Slab, slabs
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


@dataclass(frozen=True, eq=False)
class Unrounded:
    """What a kernel holds before it stores its result: out `[B, H, Sq, Dv]` in the oracle's dtype, lse `[B, H, Sq]`
    float64, -inf in rows without keys."""

    out: Tensor
    lse: Tensor

    def with_rows(self, other: Unrounded, slabs: Iterable[Slab]) -> Unrounded:
        """The same result with the rows of some slabs from another; a row that has no keys there stays."""
        out, lse = self.out.clone(), self.lse.clone()
        for batch, head, rows in slabs:
            where = (batch, head, slice(rows.start, rows.stop))
            kept = ~torch.isneginf(other.lse[where])
            out[where][kept], lse[where][kept] = other.out[where][kept], other.lse[where][kept]
        return Unrounded(out, lse)

    def stored(self, problem: Problem) -> Output:
        """The result as the kernel returns it: the output rounded once to the problem's dtype, the LSE to its own."""
        return Output(self.out.to(problem.dtype), self.lse.to(problem.sum_dtype) if problem.wants_lse else None)


class Clean(TileLoop):
    """The tile loop on large tiles: the default `Numerics`, O(S) memory, most of the matmul rate."""

    query_tile = TILE_ROWS
    split_count = 1

    def __init__(self, problem: Problem) -> None:
        mask = problem.mask
        most = mask.block_mask.block_shape[1] if isinstance(mask, BlockSparse) else problem.key_length
        self.key_tile = min(TILE_KEYS, most)

    def unrounded(self, problem: Problem, inputs: Inputs) -> Unrounded:
        """The whole result before it is stored."""
        out = torch.empty(problem.out_shape, dtype=problem.oracle_dtype)
        lse = torch.empty(problem.lse_shape, dtype=torch.float64)
        # The loop converts each tile; converted here, it does so once.
        query, key, value = (t.to(problem.sum_dtype) for t in (inputs.query, inputs.key, inputs.value))
        given = Inputs(query, key, value, inputs.key_of_content)

        def work(shared: Iterator[Slab]) -> None:
            for slab in shared:
                where = (slab.batch, slab.head, slice(slab.rows.start, slab.rows.stop))
                out[where], lse[where] = self.slab(problem, given, slab)

        share(slabs(problem), work)
        return Unrounded(out, lse)

    def slab(self, problem: Problem, inputs: Inputs, slab: Slab) -> tuple[Tensor, Tensor]:
        """Some rows of one head: out `[rows, Dv]` in the oracle's dtype, lse `[rows]` float64."""
        lane = Lane(slice(slab.batch, slab.batch + 1), slice(slab.head, slab.head + 1))
        part = self.attend(problem, inputs, lane, slab.rows)
        return part.out[0, 0].to(problem.oracle_dtype), part.lse[0, 0, :, 0].double()

    @property
    def kernel(self) -> Kernel:
        """The loop with its claims, as the judge knows kernels."""
        return Kernel("clean", self, self.capabilities)


class Without(Clean):
    """Some keys are attended by no row."""

    def __init__(self, problem: Problem, keys: Tensor) -> None:
        super().__init__(problem)
        self.dropped = keys

    def mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        """Logits with the dropped keys at -inf as well."""
        key = torch.arange(keys.start, keys.start + self.key_tile)
        masked = super().mask(problem, scores, lane, rows, keys)
        return masked.masked_fill(torch.isin(key, self.dropped), self.hidden_logit())


class Rescaled(Clean):
    """The softmax scale is off by a factor."""

    def __init__(self, problem: Problem, factor: float) -> None:
        super().__init__(problem)
        self.factor = factor

    def scale(self, problem: Problem) -> float:
        """The wrong scale."""
        return super().scale(problem) * self.factor
