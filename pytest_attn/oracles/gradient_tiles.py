"""Tiles of a backward pass: what the exact gradients and their budget both sum over, in O(S) extra memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import TILE_KEYS, TILE_ROWS, Slab, chunks, gather, masked_scores
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Span
from pytest_attn.problem.problem import Problem


class Tile(NamedTuple):
    """Some query rows of one head against some keys, all `[rows, keys]`.

    `scores` s, scaled, 0 where the mask forbids the pair; `weights` P = exp(s - lse); `products` dP = dO V^T.
    """

    group: Sequence[Span]
    scores: Tensor
    weights: Tensor
    products: Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """A slab of query rows and what belongs to them: query `[rows, D]`, grad_out and out `[rows, Dv]`, lse and delta =
    rowsum(grad_out * out) `[rows]`, 0 in rows without keys."""

    slab: Slab
    query: Tensor
    grad_out: Tensor
    out: Tensor
    lse: Tensor
    delta: Tensor

    @property
    def where(self) -> tuple[int, int, slice]:
        """Their place in a tensor `[B, Hq, Sq, ...]`."""
        return self.slab.batch, self.slab.head, slice(self.slab.rows.start, self.slab.rows.stop)


@dataclass(frozen=True, eq=False)
class HeadTiles:
    """All query rows that read one key head, and their tiles; `key` `[Skv, D]` and `value` `[Skv, Dv]`."""

    problem: Problem
    inputs: Inputs
    reference: Reference
    dtype: torch.dtype
    batch: int
    key_head: int
    key: Tensor
    value: Tensor

    @property
    def rows(self) -> Iterator[Rows]:
        """The query rows of the group in runs that the mask treats alike."""
        problem = self.problem
        assert self.inputs.grad_out is not None
        assert self.reference.out is not None
        step = problem.mask.row_step(problem.lengths)
        first = self.key_head * problem.group
        for head, start in product(range(first, first + problem.group), range(0, problem.query_length, step)):
            stop = min(start + step, problem.query_length)
            for begin in range(start, stop, TILE_ROWS):
                slab = Slab(self.batch, head, range(begin, min(begin + TILE_ROWS, stop)))
                where = (slab.batch, slab.head, slice(slab.rows.start, slab.rows.stop))
                tensors = (self.inputs.query, self.inputs.grad_out, self.reference.out, self.reference.lse)
                query, grad_out, out, lse = (tensor[where].to("cpu", self.dtype) for tensor in tensors)
                # exp(-inf - 0) is 0 in a row without keys.
                lse = lse.masked_fill(lse.isneginf(), 0.0)
                yield Rows(slab, query, grad_out, out, lse, (grad_out * out).sum(dim=1))

    def tiles(self, rows: Rows) -> Iterator[Tile]:
        """The tiles of some rows, in the order of the keys."""
        problem, slab = self.problem, rows.slab
        scaled = rows.query * problem.scale
        for group in chunks(problem.mask.spans(problem.lengths, slab.batch, slab.head, slab.rows), TILE_KEYS):
            key = gather(self.key, group)
            scores = scaled.new_empty(len(slab.rows), len(key))
            masked_scores(problem, slab, group, scaled, key, scores)
            weights = (scores - rows.lse.unsqueeze(1)).exp_()
            scores.masked_fill_(scores.isneginf(), 0.0)
            yield Tile(group, scores, weights, rows.grad_out @ gather(self.value, group).T)


def add_rows(target: Tensor, group: Sequence[Span], addend: Tensor) -> None:
    """Add rows `[keys, ...]` of a tile to the keys of a tensor `[Skv, ...]`."""
    row = 0
    for start, stop, _ in group:
        target[start:stop] += addend[row : row + stop - start]
        row += stop - start


def raise_rows(target: Tensor, group: Sequence[Span], values: Tensor) -> None:
    """Raise the keys of a tensor `[Skv]` to the values `[keys]` of a tile."""
    row = 0
    for start, stop, _ in group:
        torch.maximum(target[start:stop], values[row : row + stop - start], out=target[start:stop])
        row += stop - start


def each_key_head(
    problem: Problem, inputs: Inputs, reference: Reference, dtype: torch.dtype, work: Callable[[HeadTiles], None]
) -> None:
    """Do the work of every key head, shared out to one worker per core: what is summed over query rows is summed by
    one."""

    def draw(shared: Iterator[tuple[int, int]]) -> None:
        for batch, head in shared:
            key, value = (tensor[batch, head].to("cpu", dtype) for tensor in (inputs.key, inputs.value))
            work(HeadTiles(problem, inputs, reference, dtype, batch, head, key, value))

    share(product(range(problem.batch), range(problem.key_heads)), draw)
