"""Plain attention in the dtype of the inputs: not a truth, but the measure that published suites take of an error.

Every step is stored in the dtype: the scaled scores, the softmax (computed in float32), the product with the values
(float32 accumulation), as PyTorch's math path and the `attention_ref(..., upcast=False)` of flash-attention's tests do
it on a GPU. Emulated by rounding float32 results: no half matmul, which CPUs are slow at, and no Sq x Skv memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.oracles.slabs import TILE_ROWS, Slab, gather, slabs
from pytest_attn.oracles.streaming import change_scores, masked_scores
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import sinks
from pytest_attn.problem.problem import Problem

MOST_SCORES = 1 << 22
"""Scores of whole rows that one worker holds at a time."""


def same_dtype(problem: Problem, inputs: Inputs) -> Tensor:
    """The output `[B, H, Sq, Dv]` in the problem's dtype, 0 in rows without keys."""
    query, key, value = (t.to("cpu", torch.float32) for t in (inputs.query, inputs.key, inputs.value))
    out = torch.zeros(problem.out_shape, dtype=problem.dtype)
    sink = sinks(problem, inputs)
    most_rows = min(TILE_ROWS, max(1, MOST_SCORES // problem.key_length))

    def work(shared: Iterator[Slab]) -> None:
        for slab in shared:
            batch, head, rows = slab
            where, source = slab.where, (batch, head // problem.group)
            spans = problem.mask.spans(problem.lengths, batch, head, rows)
            if not spans:
                continue
            keys = gather(key[source], spans)
            tile = torch.empty(len(rows), len(keys))
            scores = _rounded(masked_scores(problem, slab, spans, query[where] * problem.scale, keys, tile), problem)
            if problem.changes_logits:
                change_scores(problem, inputs, slab, spans, scores, 1.0)
                scores = _rounded(scores, problem)
            weights = scores if sink is None else torch.cat([scores, sink[head].expand(len(rows), 1)], dim=1)
            weights = weights.softmax(dim=1)[:, : scores.shape[1]]
            product = _rounded(weights, problem) @ gather(value[source], spans)
            empty = scores.amax(dim=1, keepdim=True) == -math.inf
            out[where] = product.masked_fill_(empty, 0.0).to(problem.dtype)

    share(slabs(problem, most_rows), work)
    return out


def _rounded(tensor: Tensor, problem: Problem) -> Tensor:
    return tensor.to(problem.dtype).float()
