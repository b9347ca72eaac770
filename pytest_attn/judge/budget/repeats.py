"""How often the same weight occurs in a row: roundings of equal numbers are one error, not many."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

from pytest_attn.oracles.slabs import TOGETHER
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import changed_at
from pytest_attn.problem.masks import heads_alike
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
    query = inputs.query[:, :, picked.to(inputs.query.device)].cpu()
    step = max(1, TOGETHER // (problem.group * count * problem.key_length))
    for batch, first in product(range(problem.batch), range(0, problem.key_heads, step)):
        key = inputs.key[batch, first : first + step].cpu().double()
        heads = range(first * problem.group, (first + len(key)) * problem.group)
        rows = query[batch, heads.start : heads.stop].double() * problem.scale
        scores = rows.reshape(len(key), -1, problem.head_dim) @ key.mT
        scores = scores.view(len(heads), count, problem.key_length)
        _change_and_mask(problem, inputs, scores, batch, heads, picked)
        found[batch, heads.start : heads.stop] = _largest_ratios(scores)
    return found


def _change_and_mask(
    problem: Problem, inputs: Inputs, scores: Tensor, batch: int, heads: range, picked: Tensor
) -> None:
    """Make logits of the scaled scores `[H, picked, Skv]` of some rows, in place: what the variants change, and -inf
    where the mask forbids the pair."""
    alike = _allowed(problem, batch, heads.start, picked) if heads_alike(problem.mask) else None
    for own, head in zip(scores, heads, strict=True):
        if problem.changes_logits:
            keys = torch.arange(problem.key_length)
            own.copy_(changed_at(problem, inputs, own.clone(), batch, head, picked, keys))
        if alike is None:
            own.masked_fill_(~_allowed(problem, batch, head, picked), -torch.inf)
    if alike is not None:
        scores.masked_fill_(~alike, -torch.inf)


def _allowed(problem: Problem, batch: int, head: int, picked: Tensor) -> Tensor:
    """Which keys some rows of a head may attend to, bool `[picked, Skv]`."""
    keys = range(problem.key_length)
    each = (problem.mask.allowed(problem.lengths, batch, head, range(r, r + 1), keys) for r in picked.tolist())
    return torch.cat(list(each))


def _largest_ratios(scores: Tensor) -> Tensor:
    """The largest of sum_g (sum_{j in g} p_j)^2 / sum_j p_j^2 of logits `[H, rows, keys]`, `[H]`; at least 1."""
    # numpy sorts several numbers with one instruction, torch one at a time.
    ordered = torch.from_numpy(np.sort(scores.numpy(), axis=2))
    maximum = ordered[..., -1:]
    weights = (ordered - maximum.masked_fill(maximum.isneginf(), 0.0)).exp()
    begins_group = ordered.diff(dim=2).abs() > SAME * maximum.abs().clamp_min(1.0)
    group = torch.nn.functional.pad(begins_group, (1, 0)).cumsum(dim=2)
    group_weights = torch.zeros_like(weights).scatter_add_(2, group, weights)
    ratio = group_weights.square().sum(dim=2) / weights.square().sum(dim=2).clamp_min(1e-300)
    return ratio.amax(dim=1).clamp_min(1.0)
