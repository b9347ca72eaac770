"""The streaming engine of the exact oracle: tiles of scores, never a whole row of them; O(S) extra memory.

Online softmax in base 2, over tiles of at most 512 queries by 1024 keys, one single-threaded worker per core. Keys that
no row of a tile may attend to are never touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.oracles.online_softmax import LOG2_E, OnlineSoftmax
from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.oracles.slabs import TILE_KEYS, TILE_ROWS, TOGETHER, HeadsSlab, Slab, chunks, gather, heads_slabs
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import changed, saturates, sinks, steepness
from pytest_attn.problem.masks import Span
from pytest_attn.problem.problem import Problem


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
    """The memory of one worker: a tile of scores, or those of several heads, and room for their squares."""

    def __init__(self, problem: Problem, squares: torch.dtype) -> None:
        dtype = problem.oracle_dtype
        room = max(TILE_ROWS * TILE_KEYS, TOGETHER)
        self._scores = torch.empty(room, dtype=dtype)
        self._squares = torch.empty(room, dtype=squares)

    def scores(self, *shape: int) -> Tensor:
        """A contiguous tensor in the oracle's precision, uninitialised; the next call overwrites it."""
        return self._scores[: math.prod(shape)].view(shape)

    def squares(self, *shape: int) -> Tensor:
        """An uninitialised contiguous tensor in the dtype of the squares."""
        return self._squares[: math.prod(shape)].view(shape)


def masked_scores(
    problem: Problem, slab: Slab, spans: Sequence[Span], query: Tensor, key: Tensor, scores: Tensor
) -> Tensor:
    """query @ key^T into `scores` `[rows, keys]`, -inf where the mask forbids the pair; `key` is that of the spans."""
    hide(problem, slab.batch, slab.head, slab.rows, spans, torch.mm(query, key.t(), out=scores))
    return scores


def hide(problem: Problem, batch: int, head: int, rows: range, spans: Sequence[Span], scores: Tensor) -> None:
    """Make scores `[..., rows, keys of the spans]` -inf in place where the mask forbids the pair."""
    column = 0
    for start, stop, full in spans:
        if not full:
            allowed = problem.mask.allowed(problem.lengths, batch, head, rows, range(start, stop))
            scores[..., column : column + stop - start].masked_fill_(~allowed, -math.inf)
        column += stop - start


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

    def work(shared: Iterator[HeadsSlab]) -> None:
        scratch = Scratch(problem, square_dtype())
        for slab in shared:
            scaled = query[slab.where].to(problem.oracle_dtype) * (problem.scale * LOG2_E)
            softmax = _softmax_of(problem, inputs, operands, slab, scaled, scratch, saturated=saturated)
            if sink is not None:
                logits = sink[slab.where[1]].to(problem.oracle_dtype) * LOG2_E
                softmax.add_sink(logits.unsqueeze(1).expand(-1, len(slab.rows)).reshape(softmax.total.shape))
            results.put(slab, softmax)

    share(heads_slabs(problem), work)
    return results.reference(moments=moments)


def _softmax_of(
    problem: Problem,
    inputs: Inputs,
    operands: Operands,
    slab: HeadsSlab,
    scaled: Tensor,
    scratch: Scratch,
    *,
    saturated: bool,
) -> OnlineSoftmax:
    """The softmax of one slab over all of its keys, its rows `[key heads, rows of the group]`; `scaled` `[H, rows, D]`
    is its query times scale log2(e); `saturated`: whether it is asked for what is left of the logits after a function
    of them."""
    where = (slab.batch, slab.key_heads(problem.group))
    scaled = scaled.reshape(where[1].stop - where[1].start, -1, problem.head_dim)
    softmax = OnlineSoftmax(scaled.shape[:2], problem.value_dim if problem.wants_out else None, problem.oracle_dtype)
    for spans in chunks(problem.mask.spans(problem.lengths, slab.batch, slab.heads.start, slab.rows), TILE_KEYS):
        key = gather(operands.key[where], spans)
        scores = torch.bmm(scaled, key.mT, out=scratch.scores(*scaled.shape[:2], key.shape[1]))
        by_head = scores.view(len(slab.heads), len(slab.rows), key.shape[1])
        hide(problem, slab.batch, slab.heads.start, slab.rows, spans, by_head)
        each = list(zip(slab.single, by_head, strict=True))
        moved = [_moved(problem, inputs, one, spans, own) for one, own in each] if saturated else None
        change = None
        if problem.changes_logits:
            change = [change_scores(problem, inputs, one, spans, own, LOG2_E) for one, own in each]
        weights, decay = softmax.add_scores(scores)
        if change is not None:
            softmax.add_change(weights, decay, torch.stack(change).view(weights.shape))
        if moved is not None:
            softmax.add_moved(weights, decay, torch.stack(moved).view(weights.shape))
        if operands.value is not None:
            softmax.add_values(weights, decay, gather(operands.value[where], spans))
        if operands.squared is not None:
            squares = scratch.squares(*weights.shape)
            softmax.add_squares(weights, decay, gather(operands.squared[where], spans), squares)
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

    def put(self, slab: HeadsSlab, softmax: OnlineSoftmax) -> None:
        """Fill in the rows of a slab: sums of exponentials over their total, and of their squares over its square."""
        inverse = softmax.inverse_total
        square = inverse.square()
        found = (
            *((self.lse, softmax.lse), (self.peak, softmax.peak), (self.weight_square, softmax.weight_square * square)),
            *((self.out, softmax.out * inverse.unsqueeze(-1)), (self.change_square, softmax.change_square * square)),
            (self.moved_square, softmax.moved_square * square),
            (self.value_square, softmax.value_square * square.unsqueeze(-1)),
        )
        for result, values in found:
            if result is not None:
                place = result[slab.where]
                place.copy_(values.view(place.shape))

    def reference(self, *, moments: bool) -> Reference:
        """The reference, with its moments if these are wanted; they cost nothing where there is no output."""
        if self.out is None or self.weight_square is None:
            # sum p^2 is at most the largest p, and that bound costs nothing.
            changes = {"change_square": self.change_square, "moved_square": self.moved_square}
            return Reference("exact", self.lse, moments=Moments(self.peak, self.peak, **changes))
        known = Moments(self.weight_square, self.peak, self.value_square, self.change_square, self.moved_square)
        return Reference("exact", self.lse, self.out, known if moments else None)
