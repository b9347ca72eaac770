"""The exact gradients of query, key and value, from the log-sum-exp and the output of the exact oracle.

With P = exp(s - lse), dP = dO V^T and delta = rowsum(dO * out): dV = P^T dO, dS = P * (dP - delta), dQ = scale dS K and
dK = scale dS^T Q; gradients of key and value are summed over the query heads of a group (Dao et al., FlashAttention,
2022, appendix B).
"""

from __future__ import annotations

import torch

from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows, add_rows, each_key_head
from pytest_attn.oracles.reference import Reference, ReferenceGradients
from pytest_attn.oracles.slabs import gather
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def stream_gradients(problem: Problem, inputs: Inputs, forward: Reference) -> ReferenceGradients:
    """dQ, dK and dV of a problem, float64; `forward` holds its out and lse.

    Where dP - delta cancels, the gradients are what is left of numbers that are larger by orders of magnitude: float32
    leaves none of their digits.
    """
    dtype = torch.float64
    found = ReferenceGradients(
        *(torch.zeros(tensor.shape, dtype=dtype) for tensor in (inputs.query, inputs.key, inputs.value))
    )

    def work(head: HeadTiles) -> None:
        for query_head in head.query_heads:
            for rows in head.rows(query_head):
                _add_tiles(found, head, rows)

    each_key_head(problem, inputs, forward, dtype, work)
    return found


def _add_tiles(found: ReferenceGradients, head: HeadTiles, rows: Rows) -> None:
    """Add what the tiles of some query rows contribute to the gradients."""
    dq, dk, dv = found.dq[rows.where], found.dk[head.batch, head.key_head], found.dv[head.batch, head.key_head]
    for tile in head.tiles(rows):
        add_rows(dv, tile.spans, tile.probabilities.T @ rows.grad_out)
        shifted = tile.probability_gradients - rows.delta.unsqueeze(1)
        score_gradients = tile.probabilities * shifted * head.problem.scale
        dq += score_gradients @ gather(head.key, tile.spans)
        add_rows(dk, tile.spans, score_gradients.T @ rows.query)
