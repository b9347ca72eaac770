"""The streaming engine of the exact oracle: tiles of scores, never a whole row of them; O(S) extra memory.

Online softmax in base 2, over tiles of at most 512 queries by 1024 keys, one single-threaded worker per core. Keys that
no row of a tile may attend to are never touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.oracles.online_softmax import LOG2_E, OnlineSoftmax
from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import changed, saturates, sinks, steepness
from pytest_attn.problem.masks import Span
from pytest_attn.problem.problem import Problem

TILE_ROWS = 512
TILE_KEYS = 1024


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
    """Key `[B, Hkv, Skv, D]` and value `[B, Hkv, Skv, Dv]` in the oracle's precision on the CPU, and value squared in
    `square_dtype()` for the moments; None where the LSE is enough."""

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
        """A contiguous `[rows, keys]` in the oracle's precision, uninitialised; the next call overwrites it."""
        return self._scores[: rows * keys].view(rows, keys)

    def squares(self, rows: int, keys: int) -> Tensor:
        """An uninitialised contiguous `[rows, keys]` in the dtype of the squares."""
        return self._squares[: rows * keys].view(rows, keys)


def gather(tensor: Tensor, spans: Sequence[Span]) -> Tensor:
    """Rows of `tensor` `[S, D]` in the spans: a view of one span, a copy of several."""
    pieces = [tensor[start:stop] for start, stop, _ in spans]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def masked_scores(
    problem: Problem, slab: Slab, spans: Sequence[Span], query: Tensor, key: Tensor, scores: Tensor
) -> Tensor:
    """query @ key^T into `scores` `[rows, keys]`, -inf where the mask forbids the pair; `key` is that of the spans."""
    torch.mm(query, key.t(), out=scores)
    column = 0
    for start, stop, full in spans:
        if not full:
            allowed = problem.mask.allowed(problem.lengths, slab.batch, slab.head, slab.rows, range(start, stop))
            scores[:, column : column + stop - start].masked_fill_(~allowed, -math.inf)
        column += stop - start
    return scores


def change_scores(
    problem: Problem, inputs: Inputs, slab: Slab, spans: Sequence[Span], scores: Tensor, unit: float
) -> Tensor:
    """What the variants add to scores `[rows, keys]`, natural logits times `unit`, which are changed in place; the
    change is natural, and 0 where the mask forbids the pair."""
    keys = torch.cat([torch.arange(start, stop) for start, stop, _ in spans])
    before = scores / unit
    after = changed(problem, inputs, before.clone(), slab.batch, slab.head, slab.rows, keys)
    hidden = torch.isneginf(scores)
    scores.copy_(after * unit).masked_fill_(hidden, -math.inf)
    return (after - before).masked_fill_(hidden, 0.0)


def slopes(problem: Problem, inputs: Inputs, slab: Slab, spans: Sequence[Span], scores: Tensor, unit: float) -> Tensor:
    """ds/dx `[rows, keys]` of scores, natural logits times `unit`, that are not changed yet; 1 where the mask forbids
    the pair."""
    keys = torch.cat([torch.arange(start, stop) for start, stop, _ in spans])
    return steepness(problem, inputs, scores / unit, slab.batch, slab.head, slab.rows, keys)


def stream(problem: Problem, inputs: Inputs, *, moments: bool = True) -> Reference:
    """out, lse and moments of a problem; no out where only the lse is asked for, no moments where they are not
    wanted."""
    operands, query, sink = Operands.of(problem, inputs, moments=moments), inputs.query.cpu(), sinks(problem, inputs)
    saturated = saturates(problem, inputs)
    results = _Results.empty(problem, saturated=saturated)

    def work(shared: Iterator[Slab]) -> None:
        scratch = Scratch(problem, square_dtype())
        for slab in shared:
            scaled = query[slab.where].to(problem.oracle_dtype) * (problem.scale * LOG2_E)
            softmax = _softmax_of(problem, inputs, operands, slab, scaled, scratch, saturated=saturated)
            if sink is not None:
                softmax.add_sink(float(sink[slab.head]) * LOG2_E)
            results.put(slab, softmax)

    share(slabs(problem), work)
    return results.reference(moments=moments)


def _softmax_of(
    problem: Problem,
    inputs: Inputs,
    operands: Operands,
    slab: Slab,
    scaled: Tensor,
    scratch: Scratch,
    *,
    saturated: bool,
) -> OnlineSoftmax:
    """The softmax of one slab over all of its keys; `scaled` `[rows, D]` is its query times scale log2(e); `saturated`:
    whether it is asked for what is left of the logits after a function of them."""
    head = (slab.batch, slab.head // problem.group)
    softmax = OnlineSoftmax(len(slab.rows), problem.value_dim if problem.wants_out else None, problem.oracle_dtype)
    for spans in chunks(problem.mask.spans(problem.lengths, *slab), TILE_KEYS):
        key = gather(operands.key[head], spans)
        scores = masked_scores(problem, slab, spans, scaled, key, scratch.scores(len(slab.rows), len(key)))
        moved = _moved(problem, inputs, slab, spans, scores) if saturated else None
        change = change_scores(problem, inputs, slab, spans, scores, LOG2_E) if problem.changes_logits else None
        weights, decay = softmax.add_scores(scores)
        if change is not None:
            softmax.add_change(weights, decay, change)
        if moved is not None:
            softmax.add_moved(weights, decay, moved)
        if operands.value is not None:
            softmax.add_values(weights, decay, gather(operands.value[head], spans))
        if operands.squared is not None:
            squares = scratch.squares(len(slab.rows), len(key))
            softmax.add_squares(weights, decay, gather(operands.squared[head], spans), squares)
    return softmax


def _moved(problem: Problem, inputs: Inputs, slab: Slab, spans: Sequence[Span], scores: Tensor) -> Tensor:
    """x ds/dx of base 2 scores that are not changed yet, `[rows, keys]`, natural; 0 where the mask forbids the pair."""
    steep = slopes(problem, inputs, slab, spans, scores, LOG2_E)
    return steep.mul_(scores / LOG2_E).masked_fill_(scores.isneginf(), 0.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Results:
    """The tensors of a reference and its moments, filled slab by slab; `out`, `value_square` and `weight_square` only
    where the output is asked for, `change_square` where a variant changes logits, `moved_square` where a function of
    them may saturate."""

    lse: Tensor
    peak: Tensor
    out: Tensor | None
    weight_square: Tensor | None
    value_square: Tensor | None
    change_square: Tensor | None
    moved_square: Tensor | None

    @staticmethod
    def empty(problem: Problem, *, saturated: bool) -> _Results:
        """Uninitialised tensors of the shapes and dtypes that a problem asks for."""
        dtype, row_shape = problem.oracle_dtype, problem.lse_shape
        return _Results(
            lse=torch.empty(row_shape, dtype=dtype),
            peak=torch.empty(row_shape, dtype=dtype),
            out=torch.empty(problem.out_shape, dtype=dtype) if problem.wants_out else None,
            weight_square=torch.empty(row_shape, dtype=dtype) if problem.wants_out else None,
            value_square=torch.empty(problem.out_shape, dtype=square_dtype()) if problem.wants_out else None,
            change_square=torch.empty(row_shape, dtype=dtype) if problem.changes_logits else None,
            moved_square=torch.empty(row_shape, dtype=dtype) if saturated else None,
        )

    def put(self, slab: Slab, softmax: OnlineSoftmax) -> None:
        """Fill in the rows of a slab: sums of exponentials over their total, and of their squares over its square."""
        inverse = softmax.inverse_total
        inverse_square = inverse.square()
        self.lse[slab.where] = softmax.lse.to(self.lse.dtype)
        self.peak[slab.where] = softmax.peak
        if self.out is not None:
            self.out[slab.where] = softmax.out * inverse.unsqueeze(1)
        if self.weight_square is not None:
            self.weight_square[slab.where] = softmax.weight_square * inverse_square
        if self.value_square is not None:
            value_square = softmax.value_square * inverse_square.unsqueeze(1)
            self.value_square[slab.where] = value_square.to(self.value_square.dtype)
        if self.change_square is not None:
            self.change_square[slab.where] = softmax.change_square * inverse_square
        if self.moved_square is not None:
            self.moved_square[slab.where] = softmax.moved_square * inverse_square

    def reference(self, *, moments: bool) -> Reference:
        """The reference, with its moments if these are wanted; they cost nothing where there is no output."""
        if self.out is None or self.weight_square is None:
            # sum p^2 is at most the largest p, and that bound costs nothing.
            changes = {"change_square": self.change_square, "moved_square": self.moved_square}
            return Reference("exact", self.lse, moments=Moments(self.peak, self.peak, **changes))
        known = Moments(self.weight_square, self.peak, self.value_square, self.change_square, self.moved_square)
        return Reference("exact", self.lse, self.out, known if moments else None)
