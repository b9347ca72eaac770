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
from pytest_attn.oracles.slabs import TILE_KEYS, TILE_ROWS, Slab, chunks, gather, head_slabs
from pytest_attn.oracles.streaming import masked_scores
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Span
from pytest_attn.problem.problem import Problem


class Tile(NamedTuple):
    """The pairs of some query rows of one head with some keys, all tensors `[rows, keys]`.

    `spans`: the keys; `scores` s, scaled, 0 where the mask forbids the pair; `probabilities` P = exp(s - lse);
    `probability_gradients` dP = dO V^T.
    """

    spans: Sequence[Span]
    scores: Tensor
    probabilities: Tensor
    probability_gradients: Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """A slab of query rows of one head and what belongs to them.

    `query` `[rows, D]`, `grad_out` dO and `out` `[rows, Dv]`, `lse` and `delta` = rowsum(dO * out) `[rows]`; `lse` is 0
    in rows without keys.
    """

    slab: Slab
    query: Tensor
    grad_out: Tensor
    out: Tensor
    lse: Tensor
    delta: Tensor

    @staticmethod
    def of(slab: Slab, inputs: Inputs, reference: Reference, dtype: torch.dtype) -> Rows:
        """The rows of a slab, on the CPU in `dtype`."""
        assert inputs.grad_out is not None
        assert reference.out is not None
        tensors = (inputs.query, inputs.grad_out, reference.out, reference.lse)
        query, grad_out, out, lse = (tensor[slab.where].to("cpu", dtype) for tensor in tensors)
        # exp(-inf - 0) is 0 in a row without keys.
        lse = lse.masked_fill(lse.isneginf(), 0.0)
        return Rows(slab, query, grad_out, out, lse, delta=(grad_out * out).sum(dim=1))

    @property
    def where(self) -> tuple[int, int, slice]:
        """The index of these rows in a tensor `[B, Hq, Sq, ...]`."""
        return self.slab.where


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
    def query_heads(self) -> range:
        """The query heads of the group that reads this key head."""
        first = self.key_head * self.problem.group
        return range(first, first + self.problem.group)

    def rows(self, query_head: int) -> Iterator[Rows]:
        """The query rows of one head of the group, in runs that the mask treats alike."""
        for slab in head_slabs(self.problem, self.batch, query_head, TILE_ROWS):
            yield Rows.of(slab, self.inputs, self.reference, self.dtype)

    def tiles(self, rows: Rows) -> Iterator[Tile]:
        """The tiles of some rows, in the order of the keys."""
        problem, slab = self.problem, rows.slab
        scaled = rows.query * problem.scale
        for spans in chunks(problem.mask.spans(problem.lengths, slab.batch, slab.head, slab.rows), TILE_KEYS):
            key = gather(self.key, spans)
            scores = scaled.new_empty(len(slab.rows), len(key))
            masked_scores(problem, slab, spans, scaled, key, scores)
            probabilities = (scores - rows.lse.unsqueeze(1)).exp_()
            scores.masked_fill_(scores.isneginf(), 0.0)
            yield Tile(spans, scores, probabilities, rows.grad_out @ gather(self.value, spans).T)


def add_rows(target: Tensor, spans: Sequence[Span], addend: Tensor) -> None:
    """Add `addend` `[keys, ...]` to the rows of `target` `[Skv, ...]` that the spans name."""
    row = 0
    for start, stop, _ in spans:
        target[start:stop] += addend[row : row + stop - start]
        row += stop - start


def raise_rows(target: Tensor, spans: Sequence[Span], values: Tensor) -> None:
    """Raise the elements of `target` `[Skv]` that the spans name to `values` `[keys]`, where these are larger."""
    row = 0
    for start, stop, _ in spans:
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
