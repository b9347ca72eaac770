"""Products of query and key, weighed as each row weighs its keys: what roundings on the way to its logits act on.

With x_d = scale q_d k_d, p_ij the weights of row i, and means over its keys under p^2:

    X_i   the mean of sum_d x_d^2
    R_i   the mean of the random part of partial sums (`pytest_attn.judge.budget.partial_sums`)
    Y_i = sum_d (scale q_d sum_j p_j k_jd)^2

Masked keys, and those that no sequence has, weigh nothing. Where a function of the logits is flat, pairs count in X and
R by the square of its derivative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.judge.budget.partial_sums import channels_differ, keys_differ, random_parts
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.slabs import TILE_KEYS, Slab, chunks, gather, slabs
from pytest_attn.oracles.streaming import change_scores, masked_scores, slopes
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import saturates
from pytest_attn.problem.problem import Problem

MOST_ROWS = 128
"""Queries at a time: a tile of their partial sums stays in the cache."""


@dataclass(frozen=True, eq=False)
class LogitProducts:
    """X, R and Y of the module's docstring: `squares`, `partial_sums` and `common`, all `[B, Hq, Sq]`, float32."""

    squares: Tensor
    partial_sums: Tensor
    common: Tensor

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference, *, of_pairs: bool) -> LogitProducts:
        """R of every row; X and Y, too, where what acts `of_pairs` is asked for, else they are not known."""
        usual = _usual_partial_sums(problem, inputs)
        if usual is None:
            return _measured(problem, inputs, reference)
        if of_pairs:
            return replace(_measured(problem, inputs, reference), partial_sums=usual)
        return LogitProducts(usual, usual, torch.zeros(problem.lse_shape))


def _usual_partial_sums(problem: Problem, inputs: Inputs) -> Tensor | None:
    """R where keys and channels are alike: scale^2 sum_d q_d^2 mean_j k_jd^2; None where they are not, or where a
    function of the logits is flat."""
    if saturates(problem, inputs):
        return None
    found = torch.empty(problem.lse_shape, dtype=problem.sum_dtype)
    for batch, head in product(range(problem.batch), range(problem.key_heads)):
        own = slice(head * problem.group, (head + 1) * problem.group)
        query = inputs.query[batch, own].to("cpu", problem.sum_dtype)
        key = inputs.key[batch, head].to("cpu", problem.sum_dtype)
        if keys_differ(key) or channels_differ(query.flatten(0, 1), key):
            return None
        found[batch, own] = query.square() @ (key.square().mean(dim=0) * problem.scale**2)
    return found


def _measured(problem: Problem, inputs: Inputs, reference: Reference) -> LogitProducts:
    """X, R and Y from every pair."""
    squares, ordered, common = (torch.zeros(problem.lse_shape) for _ in range(3))
    query, key = (tensor.to("cpu", torch.float32) for tensor in (inputs.query, inputs.key))
    saturated = saturates(problem, inputs)

    def work(drawn: Iterator[Slab]) -> None:
        for slab in drawn:
            batch, head, rows = slab
            where = slab.where
            scaled, keys = query[where] * problem.scale, key[batch, head // problem.group]
            lse = reference.lse[where].float()
            lse = lse.masked_fill(lse.isneginf(), 0.0).unsqueeze(1)
            weights_square, mean_key = torch.zeros(len(rows)), torch.zeros_like(scaled)
            for group in chunks(problem.mask.spans(problem.lengths, batch, head, rows), TILE_KEYS):
                tile = gather(keys, group)
                scores = masked_scores(problem, slab, group, scaled, tile, scaled.new_empty(len(rows), len(tile)))
                steep = slopes(problem, inputs, slab, group, scores, 1.0).square_() if saturated else None
                if problem.changes_logits:
                    change_scores(problem, inputs, slab, group, scores, 1.0)
                weights = (scores - lse).exp_()
                mean_key += weights @ tile
                weights.square_()
                weights_square += weights.sum(dim=1)
                if steep is not None:
                    weights *= steep
                for total, of_pairs in zip((squares, ordered), random_parts(scaled, tile), strict=True):
                    total[where] += (weights * of_pairs).sum(dim=1)
            for total in (squares, ordered):
                total[where] /= weights_square.clamp_min(1e-30)
            common[where] = (scaled * mean_key).square().sum(dim=1)

    share(slabs(problem, MOST_ROWS), work)
    return LogitProducts(squares, torch.maximum(squares, ordered), common)
