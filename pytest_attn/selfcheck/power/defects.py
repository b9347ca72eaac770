"""The defects that are injected into a correct result, each in an amount."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.slabs import Slab, slabs
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.power.clean import Unrounded
from pytest_attn.selfcheck.power.clean_variants import rescaled, without
from pytest_attn.selfcheck.power.merge import drop, leak
from pytest_attn.selfcheck.power.search import Amounts

KEY_BLOCK = 128
"""Keys of the block that is dropped where the mask has no blocks of its own."""

SHARES = Amounts(least=2.0**-24, most=1.0)
"""Relative changes that are tried; the least is half a last bit of float32."""

SHIFTS = Amounts(least=2.0**-24, most=16.0)
"""Shifts of the LSE that are tried."""

ONCE = Amounts(least=1, most=1, whole=True)
"""A defect that is there or not."""

MOST_FLOPS = 1e10
"""A defect that needs a run of the kernel for each amount is left out where a run costs more."""


class Result(Protocol):
    """A result before it is stored."""

    def stored(self, problem: Problem) -> Output:
        """It as the kernel returns it."""


@dataclass(frozen=True, eq=False)
class Correct:
    """A correct result, what it was computed from, and what computing it costs in floating-point operations."""

    problem: Problem
    inputs: Inputs
    clean: Unrounded
    flops: int

    @property
    def middle_row(self) -> tuple[int, int, int]:
        """(batch, head, row): the middle one of the first head with keys, of its rows with keys."""
        batch, head, _ = (~torch.isneginf(self.clean.lse)).nonzero()[0].tolist()
        rows = (~torch.isneginf(self.clean.lse[batch, head])).nonzero().flatten()
        return batch, head, int(rows[len(rows) // 2])


@dataclass(frozen=True, slots=True)
class Defect:
    """One kind of defect: the amounts to try, and the result with that much of it. `counted` is that of `Seen`."""

    name: str
    counted: str
    amounts: Amounts
    inject: Callable[[float], Result]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A defect that a problem cannot have, or that costs too much to inject."""

    name: str
    why: str


def defects(correct: Correct) -> Iterator[Defect | LeftOut]:
    """Every kind of defect of what is asked for."""
    yield keys_dropped(correct)
    yield keys_dropped_in_one_row(correct)
    yield pads_attended(correct)
    yield block_dropped(correct)
    yield scale_off(correct)
    if correct.problem.wants_lse:
        yield lse_shifted(correct)
    if correct.problem.wants_out:
        yield output_scaled(correct)
        yield row_replaced(correct)


def keys_dropped(correct: Correct) -> Defect | LeftOut:
    """The same keys forgotten by every row, spread evenly over those that some row attends to; at most half."""
    problem = correct.problem
    keys = attended(problem)
    rows = tuple(slabs(problem))
    return _dropping("keys dropped from every row", correct, keys, rows)


def keys_dropped_in_one_row(correct: Correct) -> Defect | LeftOut:
    """Keys forgotten by the middle row alone, spread evenly over those that it attends to; at most half."""
    problem = correct.problem
    batch, head, row = correct.middle_row
    slab = Slab(batch, head, range(row, row + 1))
    allowed = problem.mask.allowed(problem.lengths, batch, head, slab.rows, range(problem.key_length))
    return _dropping("keys dropped from one row", correct, allowed[0].nonzero().flatten(), (slab,))


def pads_attended(correct: Correct) -> Defect:
    """Zero pad keys, of logit 0 and value 0, that take weight in every row; at most half as many as there are keys."""
    amounts = Amounts(1, max(1, correct.problem.key_length // 2), whole=True)
    there = correct.problem.present_queries
    return Defect("zero pad keys attended", "keys", amounts, lambda pads: leak(correct.clean, pads, there))


def block_dropped(correct: Correct) -> Defect | LeftOut:
    """One key block forgotten: a kept block of a block mask by one query block, else 128 keys by every row."""
    problem, mask = correct.problem, correct.problem.mask
    if isinstance(mask, BlockSparse):
        return _kept_block_dropped(correct, mask)
    name = f"one block of {KEY_BLOCK} keys dropped"
    keys = attended(problem)
    if len(keys) < 2 * KEY_BLOCK:
        return LeftOut(name, f"fewer than {2 * KEY_BLOCK} keys are attended")
    middle = int(keys[len(keys) // 2]) // KEY_BLOCK * KEY_BLOCK
    block = torch.arange(middle, middle + KEY_BLOCK)
    return _dropping(name, correct, block, tuple(slabs(problem)), ONCE)


def scale_off(correct: Correct) -> Defect | LeftOut:
    """The softmax scale times 1 + x; the kernel runs anew for each x."""
    problem, inputs, name = correct.problem, correct.inputs, "softmax scale times 1 + x"
    return anew(correct.flops, name, "share", SHARES, lambda x: rescaled(problem, 1 + x).unrounded(problem, inputs))


def lse_shifted(correct: Correct) -> Defect:
    """The LSE of every row off by a constant."""
    clean = correct.clean
    return Defect("lse shifted by", "share", SHIFTS, lambda shift: Unrounded(clean.out, clean.lse + shift))


def output_scaled(correct: Correct) -> Defect:
    """The output times 1 + x."""
    clean = correct.clean
    return Defect("output times 1 + x", "share", SHARES, lambda x: Unrounded(clean.out * (1 + x), clean.lse))


def row_replaced(correct: Correct) -> Defect | LeftOut:
    """The middle row of the output replaced by the one before it."""
    name = "one row of the output is its neighbour"
    batch, head, row = correct.middle_row
    if row == 0 or bool(torch.isneginf(correct.clean.lse[batch, head, row - 1])):
        return LeftOut(name, "there is one row with keys")
    out = correct.clean.out.clone()
    out[batch, head, row] = out[batch, head, row - 1]
    return _once(name, Unrounded(out, correct.clean.lse))


def attended(problem: Problem) -> Tensor:
    """The keys that some row may attend to, ascending."""
    seen = torch.zeros(problem.key_length, dtype=torch.bool)
    for batch, head, rows in slabs(problem):
        for start, stop, _ in problem.mask.spans(problem.lengths, batch, head, rows):
            seen[start:stop] = True
    return seen.nonzero().flatten()


def spread(keys: Tensor, count: int) -> Tensor:
    """`count` of the keys, in the middle of as many equal parts; neither the first nor two neighbours up to half."""
    return keys[(2 * torch.arange(count) + 1) * len(keys) // (2 * count)]


def anew(flops: int, name: str, counted: str, amounts: Amounts, inject: Callable[[float], Result]) -> Defect | LeftOut:
    """A defect for each amount of which the kernel runs anew; left out where that costs too much."""
    if flops > MOST_FLOPS:
        cost = f"{flops / 1e9:.3g} GFLOP for each amount, at most {MOST_FLOPS / 1e9:g} are spent"
        return LeftOut(name, cost)
    return Defect(name, counted, amounts, inject)


def _dropping(
    name: str, correct: Correct, keys: Tensor, rows: tuple[Slab, ...], amounts: Amounts | None = None
) -> Defect | LeftOut:
    """`keys`, or without `amounts` some of them, forgotten by the rows of slabs."""
    if len(keys) < 2:
        return LeftOut(name, "there is one key")
    problem, inputs, clean = correct.problem, correct.inputs, correct.clean

    def dropped(count: float) -> Unrounded:
        some = keys if amounts else spread(keys, int(count))
        if not problem.variants:
            return drop(problem, inputs, clean, some, rows)
        # What a variant makes of the logits is not known to the merge.
        return clean.with_rows(without(problem, some).unrounded(problem, inputs), rows)

    counted, tried = ("once", amounts) if amounts else ("keys", Amounts(1, len(keys) // 2, whole=True))
    if problem.variants:
        return anew(correct.flops, name, counted, tried, dropped)
    return Defect(name, counted, tried, dropped)


def _once(name: str, result: Unrounded) -> Defect:
    return Defect(name, "once", ONCE, lambda _: result)


def _kept_block_dropped(correct: Correct, mask: BlockSparse) -> Defect | LeftOut:
    """A kept block that is not the only one of its query block, near the middle row."""
    problem, block_mask = correct.problem, mask.block_mask
    rows, size = block_mask.block_shape
    name = f"one kept block of {rows}x{size} dropped"
    batch, head, middle_row = correct.middle_row
    kept = block_mask.kept_rows(batch, head)
    several = [row for row, columns in enumerate(kept) if len(columns) > 1]
    if not several:
        return LeftOut(name, "no query block keeps a second one")
    row = min(several, key=lambda other: abs(other - middle_row // rows))
    first = kept[row][len(kept[row]) // 2] * size
    block = torch.arange(first, min(first + size, problem.key_length))
    touched = [s for s in slabs(problem) if (s.batch, s.head, s.rows.start // rows) == (batch, head, row)]
    return _once(name, drop(problem, correct.inputs, correct.clean, block, touched))
