"""The streaming engine of the exact oracle: tiles of scores, never a whole row of them; O(S) extra memory.

Online softmax after Milakov and Gimelshein (2018), in base 2, over tiles of at most 512 queries by 1024 keys, one
single-threaded worker per core. Keys that no row of a tile may attend to are never touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import changed, sinks
from pytest_attn.problem.masks import Span
from pytest_attn.problem.problem import Problem

TILE_ROWS = 512
TILE_KEYS = 1024
LOG2_E = math.log2(math.e)


class Slab(NamedTuple):
    """Query rows of one head that are computed together."""

    batch: int
    head: int
    rows: range

    @property
    def where(self) -> tuple[int, int, slice]:
        """The index of these rows in a tensor `[B, Hq, Sq, ...]`."""
        return self.batch, self.head, slice(self.rows.start, self.rows.stop)


def slabs(problem: Problem, most_rows: int | None = None) -> Iterator[Slab]:
    """Every query row once, in runs that the mask treats alike, of at most `most_rows` (None: those of a tile)."""
    for batch in range(problem.batch):
        for head in range(problem.query_heads):
            yield from head_slabs(problem, batch, head, most_rows or TILE_ROWS)


def head_slabs(problem: Problem, batch: int, head: int, most_rows: int) -> Iterator[Slab]:
    """The query rows of one head, in runs that the mask treats alike, of at most `most_rows`."""
    step = problem.mask.row_step(problem.lengths)
    for start in range(0, problem.query_length, step):
        stop = min(start + step, problem.query_length)
        for first in range(start, stop, most_rows):
            yield Slab(batch, head, range(first, min(first + most_rows, stop)))


def chunks(spans: Sequence[Span], width: int) -> Iterator[list[Span]]:
    """The spans cut and packed into groups of at most `width` keys, in order."""
    group: list[Span] = []
    room = width
    for start, stop, full in spans:
        while start < stop:
            end = min(stop, start + room)
            group.append(Span(start, end, full))
            room -= end - start
            start = end
            if room == 0:
                yield group
                group, room = [], width
    if group:
        yield group


def square_dtype() -> torch.dtype:
    """bfloat16 where the CPU multiplies it natively (its error, 0.4 %, is nothing in a noise estimate), else
    float32."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32


@dataclass(frozen=True, eq=False)
class Operands:
    """Key and value in the oracle's precision, and value squared for the moments (None where the LSE is enough)."""

    key: Tensor
    value: Tensor | None
    squared: Tensor | None

    @staticmethod
    def of(problem: Problem, inputs: Inputs, *, moments: bool = True) -> Operands:
        """Operands of a problem; value is converted only where the output is asked for."""
        key = inputs.key.to("cpu", problem.oracle_dtype)
        if not problem.wants_out:
            return Operands(key, None, None)
        value = inputs.value.to("cpu", problem.oracle_dtype)
        return Operands(key, value, value.square().to(square_dtype()) if moments else None)


class Scratch:
    """The memory of one worker: a tile of scores and room to gather scattered keys and values."""

    def __init__(self, problem: Problem, squares: torch.dtype) -> None:
        dtype = problem.oracle_dtype
        self._scores = torch.empty(TILE_ROWS * TILE_KEYS, dtype=dtype)
        self._squares = torch.empty(TILE_ROWS * TILE_KEYS, dtype=squares)

    def scores(self, rows: int, keys: int) -> Tensor:
        """An uninitialised contiguous `[rows, keys]`."""
        return self._scores[: rows * keys].view(rows, keys)

    def squares(self, rows: int, keys: int) -> Tensor:
        """An uninitialised contiguous `[rows, keys]` in the dtype of the squares."""
        return self._squares[: rows * keys].view(rows, keys)


def gather(tensor: Tensor, group: Sequence[Span]) -> Tensor:
    """Rows of `tensor` `[S, D]` in the spans of a group: a view of one span, a copy of several."""
    pieces = [tensor[start:stop] for start, stop, _ in group]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def masked_scores(
    problem: Problem, slab: Slab, group: Sequence[Span], query: Tensor, key: Tensor, scores: Tensor
) -> Tensor:
    """query @ key^T into `scores` `[rows, keys]`, -inf where the mask forbids the pair."""
    torch.mm(query, key.t(), out=scores)
    column = 0
    for start, stop, full in group:
        if not full:
            allowed = problem.mask.allowed(problem.lengths, slab.batch, slab.head, slab.rows, range(start, stop))
            scores[:, column : column + stop - start].masked_fill_(~allowed, -math.inf)
        column += stop - start
    return scores


def change_scores(
    problem: Problem, inputs: Inputs, slab: Slab, group: Sequence[Span], scores: Tensor, unit: float
) -> Tensor:
    """What the variants add to scores `[rows, keys]`, natural logits times `unit`, which are changed in place; the
    change is natural, and 0 where the mask forbids the pair."""
    keys = torch.cat([torch.arange(start, stop) for start, stop, _ in group])
    before = scores / unit
    after = changed(problem, inputs, before.clone(), slab.batch, slab.head, slab.rows, keys)
    hidden = torch.isneginf(scores)
    scores.copy_(after * unit).masked_fill_(hidden, -math.inf)
    return (after - before).masked_fill_(hidden, 0.0)


class RowState:
    """The online softmax of one slab."""

    def __init__(self, rows: int, value_dim: int | None, dtype: torch.dtype) -> None:
        self.maximum = torch.full((rows,), -math.inf, dtype=dtype)
        self.total = torch.zeros(rows, dtype=dtype)
        self.weight_square = torch.zeros(rows, dtype=dtype)
        self.change_square = torch.zeros(rows, dtype=dtype)
        self.key_share = torch.ones(rows, dtype=dtype)
        shape = (rows, value_dim or 0)
        self.out = torch.zeros(shape, dtype=dtype)
        self.value_square = torch.zeros(shape, dtype=dtype)

    def take(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Turn scores (base 2) into weights in place; returns (weights, factor for what was summed before)."""
        maximum = torch.maximum(self.maximum, scores.amax(dim=1))
        # A row without any key so far has maximum -inf; 0 keeps exp2(-inf - 0) = 0 instead of NaN.
        shift = torch.where(torch.isneginf(maximum), 0.0, maximum)
        decay = torch.exp2(self.maximum - shift)
        self.maximum = maximum
        weights = scores.sub_(shift.unsqueeze(1)).exp2_()
        self.total.mul_(decay).add_(weights.sum(dim=1))
        return weights, decay

    def add_values(self, weights: Tensor, decay: Tensor, value: Tensor) -> None:
        """Add weights @ value."""
        self.out.mul_(decay.unsqueeze(1)).addmm_(weights, value)

    def add_change(self, weights: Tensor, decay: Tensor, change: Tensor) -> None:
        """Add the second moment of what was changed in the logits."""
        self.change_square.mul_(decay.square()).add_((weights * change).square().sum(dim=1))

    def add_sink(self, logit: float) -> None:
        """Add a logit, in base 2, that has no value."""
        before = self.maximum
        _, decay = self.take(torch.full((len(self.total), 1), logit, dtype=self.total.dtype))
        self.key_share = torch.exp2(before - self.maximum)
        self.out.mul_(decay.unsqueeze(1))
        self.weight_square.mul_(decay.square())
        self.change_square.mul_(decay.square())
        self.value_square.mul_(decay.square().unsqueeze(1))

    def add_squares(self, weights: Tensor, decay: Tensor, squared: Tensor, squares: Tensor) -> None:
        """Add the second moments; overwrites `weights`."""
        weights.square_()
        decay_square = decay.square()
        self.weight_square.mul_(decay_square).add_(weights.sum(dim=1))
        product = torch.mm(squares.copy_(weights), squared)
        self.value_square.mul_(decay_square.unsqueeze(1)).add_(product)

    @property
    def lse(self) -> Tensor:
        """Natural-log log-sum-exp `[rows]`, float64."""
        return (self.maximum.double() + self.total.double().log2()) / LOG2_E

    @property
    def inverse_total(self) -> Tensor:
        """1 / sum of weights, 0 for a row without keys."""
        return torch.where(self.total > 0, 1.0 / self.total, 0.0)

    @property
    def peak(self) -> Tensor:
        """The largest probability of a key; the weight of the largest logit is 1, and it may be a sink's."""
        return self.inverse_total * self.key_share


def stream(problem: Problem, inputs: Inputs, *, moments: bool = True) -> Reference:
    """out, lse and moments of a problem; no out where only the lse is asked for, no moments where they are not
    wanted."""
    dtype = problem.oracle_dtype
    operands = Operands.of(problem, inputs, moments=moments)
    query = inputs.query.cpu()
    value_dim = problem.value_dim if problem.wants_out else None
    lse = torch.empty(problem.lse_shape, dtype=dtype)
    out = torch.empty(problem.out_shape if problem.wants_out else 0, dtype=dtype)
    value_square = torch.empty(out.shape, dtype=square_dtype())
    weight_square = torch.empty(problem.lse_shape, dtype=dtype)
    peak = torch.empty(problem.lse_shape, dtype=dtype)
    change_square = torch.zeros(problem.lse_shape, dtype=dtype) if problem.changes_logits else None
    sink = sinks(problem, inputs)

    def work(shared: Iterator[Slab]) -> None:
        scratch = Scratch(problem, square_dtype())
        for slab in shared:
            batch, head, rows = slab
            where = (batch, head, slice(rows.start, rows.stop))
            scaled = query[where].to(dtype) * (problem.scale * LOG2_E)
            state = RowState(len(rows), value_dim, dtype)
            source = (batch, head // problem.group)
            for group in chunks(problem.mask.spans(problem.lengths, batch, head, rows), TILE_KEYS):
                keys = gather(operands.key[source], group)
                tile = scratch.scores(len(rows), len(keys))
                scores = masked_scores(problem, slab, group, scaled, keys, tile)
                change = change_scores(problem, inputs, slab, group, scores, LOG2_E) if problem.changes_logits else None
                weights, decay = state.take(scores)
                if change is not None:
                    state.add_change(weights, decay, change)
                if operands.value is not None:
                    state.add_values(weights, decay, gather(operands.value[source], group))
                if operands.squared is not None:
                    squares = scratch.squares(len(rows), len(keys))
                    state.add_squares(weights, decay, gather(operands.squared[source], group), squares)
            if sink is not None:
                state.add_sink(float(sink[head]) * LOG2_E)
            lse[where] = state.lse.to(dtype)
            inverse = state.inverse_total
            peak[where] = state.peak
            if change_square is not None:
                change_square[where] = state.change_square * inverse.square()
            if problem.wants_out:
                inverse_square = inverse.square()
                out[where] = state.out * inverse.unsqueeze(1)
                value_square[where] = (state.value_square * inverse_square.unsqueeze(1)).to(square_dtype())
                weight_square[where] = state.weight_square * inverse_square

    share(slabs(problem), work)
    if not problem.wants_out:
        # sum p^2 is at most the largest p, and that bound costs nothing.
        return Reference("exact", lse, moments=Moments(peak, peak, change_square=change_square))
    known = Moments(weight_square, peak, value_square, change_square)
    return Reference("exact", lse, out, known if moments else None)
