"""What the variants of a problem make of its scaled logits; the one place that every oracle and judge asks."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.variant import Tile


def changed(
    problem: Problem, inputs: Inputs, logits: Tensor, batch: int, head: int, rows: range, keys: Tensor
) -> Tensor:
    """The natural scaled logits `[R, K]` of some rows and key positions `[K]`, as the variants change them; in place or
    not."""
    lengths = problem.lengths_of(batch)
    query = torch.arange(rows.start, rows.stop).unsqueeze(1)
    tile = Tile(batch, head, query, keys, lengths.query, lengths.key)
    for variant in problem.variants:
        if variant.changes_logits:
            logits = variant.change(logits, tile, inputs.extras)
    return logits


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
