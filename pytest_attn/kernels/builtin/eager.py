"""Matmul, softmax, matmul: what everyone writes first."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.block_mask import BlockMask

MOST_ROWS = 1024
"""Queries at a time, so that 24000 keys cost 100 MB of scores and not 2 GB."""


@kernel(
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    block_sparse=True,
    value_dim=True,
    # Each of the two products is one call; how many terms it adds in a row is the BLAS library's affair.
    numerics=Numerics(probabilities="float32", chain=256),
)
def eager(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    block_mask: BlockMask | None = None,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention in float32 over whole rows of scores, some queries of one head at a time; skips nothing."""
    group = query.shape[1] // key.shape[1]
    out = query.new_empty((*query.shape[:3], value.shape[3]))
    lse = query.new_empty(query.shape[:3], dtype=torch.float32)
    offset = 0 if causal_top_left else key.shape[2] - query.shape[2]
    for batch in range(query.shape[0]):
        for head in range(query.shape[1]):
            source = (batch, head // group)
            transposed, values = key[source].float().T, value[source].float()
            for start in range(0, query.shape[2], MOST_ROWS):
                rows = range(start, min(start + MOST_ROWS, query.shape[2]))
                where = (batch, head, slice(rows.start, rows.stop))
                scores = query[where].float() @ transposed * scale
                if causal or causal_top_left:
                    scores.masked_fill_(torch.ones_like(scores, dtype=torch.bool).triu(offset + start + 1), -torch.inf)
                if block_mask is not None:
                    scores.masked_fill_(~_allowed(block_mask, batch, head, rows), -torch.inf)
                lse[where] = scores.logsumexp(dim=1)
                # A row without keys would be softmax of nothing, NaN; its output is 0.
                out[where] = scores.softmax(dim=1).nan_to_num_(0.0) @ values
    return (out, lse) if return_lse else out


def _allowed(block_mask: BlockMask, batch: int, head: int, rows: range) -> Tensor:
    query_block, key_block = block_mask.block_shape
    blocks = block_mask.blocks[batch, head]
    kept = blocks[torch.arange(rows.start, rows.stop, device=blocks.device) // query_block]
    return kept.repeat_interleave(key_block, dim=1)[:, : block_mask.key_length]
