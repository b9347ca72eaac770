"""The loop oracle: a Python loop over query blocks and their sabi entries, one whole row of kept keys at a time."""

from __future__ import annotations

import torch

from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.problem.block_mask import SABI_PADDING, BlockMask
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem


def loop(problem: Problem, inputs: Inputs) -> Reference:
    """out, lse and moments of a problem, written as unlike the exact oracle as possible; for small lengths.

    Plain softmax in one piece over the kept tokens, float32 for half types and float64 for float32. A mask that is not
    block-sparse is taken as one query block per row.
    """
    block_mask = _block_mask(problem)
    query, key, value = (t.to("cpu", problem.oracle_dtype) for t in (inputs.query, inputs.key, inputs.value))
    out = torch.zeros(problem.out_shape, dtype=problem.oracle_dtype)
    value_square = torch.zeros_like(out)
    lse = torch.full(problem.lse_shape, float("-inf"), dtype=problem.oracle_dtype)
    weight_square, peak = torch.zeros_like(lse), torch.zeros_like(lse)
    query_block, key_block = block_mask.block_shape
    for batch, heads in enumerate(block_mask.sabi.tolist()):
        for head, rows in enumerate(heads):
            source = head // problem.group
            for row, entries in enumerate(rows):
                tokens = [
                    token
                    for entry in entries
                    if entry != SABI_PADDING
                    for token in range(entry * key_block, min((entry + 1) * key_block, problem.key_length))
                ]
                if not tokens:
                    continue
                where = (batch, head, slice(row * query_block, (row + 1) * query_block))
                scores = query[where] @ key[batch, source, tokens].T * problem.scale
                weights = torch.softmax(scores, dim=-1)
                kept = value[batch, source, tokens]
                lse[where] = torch.logsumexp(scores, dim=-1)
                out[where] = weights @ kept
                value_square[where] = weights**2 @ kept**2
                weight_square[where] = (weights**2).sum(dim=-1)
                peak[where] = weights.amax(dim=-1)
    if not problem.wants_out:
        return Reference("loop", lse, moments=Moments(weight_square, peak))
    return Reference("loop", lse, out, Moments(weight_square, peak, value_square))


def _block_mask(problem: Problem) -> BlockMask:
    if isinstance(problem.mask, BlockSparse):
        return problem.mask.block_mask
    lengths = problem.lengths
    rows, keys = range(lengths.query), range(lengths.key)
    heads = [
        [problem.mask.allowed(lengths, batch, head, rows, keys) for head in range(problem.query_heads)]
        for batch in range(problem.batch)
    ]
    tokens = torch.stack([torch.stack(masks) for masks in heads])
    return BlockMask(tokens, (1, 1), lengths.query, lengths.key)
