"""Closed forms that cost O(S D), so that lengths can be judged where no reference fits."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, Dense
from pytest_attn.problem.problem import Problem


def zero_query(problem: Problem, inputs: Inputs) -> Reference:
    """The reference of zero queries: every kept key has the same weight, so LSE = log(count), out = mean of kept
    values.

    Raises ValueError where the queries are not zero.
    """
    if bool(inputs.query.count_nonzero()):
        raise ValueError("analytic oracle: the queries are not zero; allowed: the recipe zeros")
    dtype = problem.oracle_dtype
    value = inputs.value.to("cpu", dtype).repeat_interleave(problem.group, dim=1)
    ones = torch.ones((*value.shape[:3], 1), dtype=dtype)
    sums = _sum_over_kept(problem, torch.cat([ones, value, value.square()], dim=3))
    count, total, square = torch.split(sums, [1, problem.value_dim, problem.value_dim], dim=3)
    share = torch.where(count > 0, 1.0 / count, 0.0)
    lse = count.squeeze(3).log()
    # Every kept key weighs 1 / count, so sum p^2 is 1 / count and so is the largest p.
    weight = share.squeeze(3)
    if not problem.wants_out:
        return Reference("analytic", lse, moments=Moments(weight, weight))
    return Reference("analytic", lse, total * share, Moments(weight, weight, square * share.square()))


def _sum_over_kept(problem: Problem, columns: Tensor) -> Tensor:
    """For each query the sum of `columns` `[B, Hq, Skv, C]` over the keys that it may attend to: `[B, Hq, Sq, C]`."""
    mask, lengths = problem.mask, problem.lengths
    if isinstance(mask, Causal):
        running = torch.nn.functional.pad(columns.cumsum(dim=2), (0, 0, 1, 0))
        visible = torch.arange(1, lengths.query + 1) + mask.offset(lengths)
        return running[:, :, visible.clamp(0, lengths.key)]
    if isinstance(mask, BlockSparse):
        query_block, key_block = mask.block_mask.block_shape
        pieces = [piece.sum(dim=2) for piece in torch.split(columns, key_block, dim=2)]
        per_row = mask.block_mask.blocks.to(columns.dtype) @ torch.stack(pieces, dim=2)
        return per_row.repeat_interleave(query_block, dim=2)[:, :, : lengths.query]
    if isinstance(mask, Dense):
        return columns.sum(dim=2, keepdim=True).expand(-1, -1, lengths.query, -1)
    rows, keys = range(lengths.query), range(lengths.key)
    for batch, heads in enumerate(sums := columns.new_empty(*columns.shape[:2], lengths.query, columns.shape[3])):
        for head, found in enumerate(heads):
            allowed = mask.allowed(lengths, batch, head, rows, keys).to(columns.dtype)
            torch.mm(allowed, columns[batch, head], out=found)
    return sums
