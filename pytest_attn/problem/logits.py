"""What the variants of a problem make of its scaled logits; the one place that every oracle and judge asks."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.variant import Tile

FLAT = 4.0
"""What |q| |k| scale exceeds, in multiples of what a function of the logits saturates at, where it may be flat."""


def changed(
    problem: Problem, inputs: Inputs, logits: Tensor, batch: int, head: int, rows: range, keys: Tensor
) -> Tensor:
    """The natural scaled logits `[R, K]` of some rows and key positions `[K]`, as the variants change them; in place or
    not."""
    return changed_at(problem, inputs, logits, batch, head, torch.arange(rows.start, rows.stop), keys)


def changed_at(
    problem: Problem, inputs: Inputs, logits: Tensor, batch: int, head: int, rows: Tensor, keys: Tensor
) -> Tensor:
    """`changed` of rows at any positions `[R]`."""
    lengths = problem.lengths_of(batch)
    tile = Tile(batch, head, rows.unsqueeze(1), keys, lengths.query, lengths.key)
    for variant in problem.variants:
        if variant.changes_logits:
            logits = variant.change(logits, tile, inputs.extras)
    return logits


def steepness(
    problem: Problem, inputs: Inputs, logits: Tensor, batch: int, head: int, rows: range, keys: Tensor
) -> Tensor:
    """By how much an error of the scaled logits `[R, K]` of some rows and key positions is more or less after the
    variants changed them, `[R, K]`: the difference quotient at 1 + 2^-8 times the logit, 1 for a logit of 0 or -inf."""
    moved = logits * (1 + 2**-8)
    at = batch, head, rows, keys
    change = changed(problem, inputs, moved.clone(), *at) - changed(problem, inputs, logits.clone(), *at)
    step = moved - logits
    return torch.where((step != 0) & step.isfinite(), change / step, 1.0)


def saturates(problem: Problem, inputs: Inputs) -> bool:
    """Whether logits may be so large that a variant's function of them is flat there.

    No logit is larger than |q| |k| scale, and normal ones are far smaller; below FLAT times what the function saturates
    at its flat part is not worth looking for.
    """
    limit = min((variant.saturates for variant in problem.variants if variant.saturates), default=0.0)
    if not limit:
        return False
    longest = [float(tensor.to(problem.sum_dtype).norm(dim=3).max()) for tensor in (inputs.query, inputs.key)]
    return longest[0] * longest[1] * abs(problem.scale) > FLAT * limit


def sinks(problem: Problem, inputs: Inputs) -> Tensor | None:
    """The logit `[Hq]` that stands in the denominator of every row of its head beside the keys, on the CPU; None where
    there is none."""
    found = [variant.sink(inputs.extras) for variant in problem.variants]
    logits = [sink.cpu() for sink in found if sink is not None]
    return torch.stack(logits).logsumexp(dim=0) if len(logits) > 1 else (logits[0] if logits else None)


def row_logits(problem: Problem, inputs: Inputs, batch: int, head: int, row: int) -> Tensor:
    """The logits `[Skv]` of one row, changed and masked with -inf, float64."""
    key = inputs.key[batch, head // problem.group].cpu().double()
    logits = (key @ inputs.query[batch, head, row].cpu().double() * problem.scale).unsqueeze(0)
    rows = range(row, row + 1)
    if problem.changes_logits:
        logits = changed(problem, inputs, logits, batch, head, rows, torch.arange(problem.key_length))
    allowed = problem.mask.allowed(problem.lengths, batch, head, rows, range(problem.key_length))
    return logits.masked_fill(~allowed, -torch.inf)[0]
