"""How often the same weight occurs in a row: roundings of equal numbers are one error, not many."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import changed
from pytest_attn.problem.problem import Problem

ROWS_SAMPLED = 12
"""Rows of each head, first and last among them, whose logits are looked at."""

SAME = 1e-11
"""Logits that differ by less are the same number; products of half-precision inputs are exact in float64."""


def repeats(problem: Problem, inputs: Inputs) -> Tensor:
    """`[B, H]`, 1 or more: by how much the variance of summed roundings grows because weights of a row are equal.

    Keys whose logits are the same number have one rounding error in common. Where the weights p of a row fall into
    groups g of equals, independent roundings would add up to sum p^2 and these to sum_g (sum_{j in g} p_j)^2; their
    ratio is 1 where no two logits are alike, and the number of keys where all are. The largest of the sampled rows
    counts.
    """
    found = torch.ones(problem.batch, problem.query_heads, dtype=torch.float64)
    count = min(ROWS_SAMPLED, problem.query_length)
    picked = torch.linspace(0, problem.query_length - 1, count).round().long()
    query = inputs.query[:, :, picked.to(inputs.query.device)].cpu().double() * problem.scale
    for batch in range(problem.batch):
        for head in range(problem.query_heads):
            key = inputs.key[batch, head // problem.group].cpu().double()
            scores = query[batch, head] @ key.T
            _change_and_mask(problem, inputs, scores, batch, head, picked)
            found[batch, head] = _largest_ratio(scores)
    return found


def _change_and_mask(problem: Problem, inputs: Inputs, scores: Tensor, batch: int, head: int, picked: Tensor) -> None:
    """Make logits of the scaled scores `[picked, Skv]` of some rows, in place: what the variants change, and -inf where
    the mask forbids the pair."""
    keys = range(problem.key_length)
    for index, row in enumerate(picked.tolist()):
        rows = range(row, row + 1)
        if problem.changes_logits:
            before = scores[index : index + 1]
            scores[index] = changed(problem, inputs, before, batch, head, rows, torch.arange(len(keys)))[0]
        allowed = problem.mask.allowed(problem.lengths, batch, head, rows, keys)
        scores[index].masked_fill_(~allowed[0], -torch.inf)


def _largest_ratio(scores: Tensor) -> float:
    """The largest of sum_g (sum_{j in g} p_j)^2 / sum_j p_j^2 of rows of logits `[rows, keys]`, at least 1."""
    ordered = scores.sort(dim=1).values
    maximum = ordered[:, -1:]
    weights = (ordered - maximum.masked_fill(maximum.isneginf(), 0.0)).exp()
    begins_group = ordered.diff(dim=1).abs() > SAME * maximum.abs().clamp_min(1.0)
    group = torch.nn.functional.pad(begins_group, (1, 0)).cumsum(dim=1)
    group_weights = torch.zeros_like(weights).scatter_add_(1, group, weights)
    ratio = group_weights.square().sum(dim=1) / weights.square().sum(dim=1).clamp_min(1e-300)
    return max(1.0, float(ratio.max()))
