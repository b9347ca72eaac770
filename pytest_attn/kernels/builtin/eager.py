"""Matmul, softmax, matmul: what everyone writes first."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.block_mask import BlockMask


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
    """Attention in float32 with the whole matrix of scores: O(Sq Skv) memory, one head at a time."""
    group = query.shape[1] // key.shape[1]
    out = query.new_empty((*query.shape[:3], value.shape[3]))
    lse = query.new_empty(query.shape[:3], dtype=torch.float32)
    for batch in range(query.shape[0]):
        for head in range(query.shape[1]):
            source = (batch, head // group)
            scores = query[batch, head].float() @ key[source].float().T * scale
            if causal or causal_top_left:
                offset = 0 if causal_top_left else scores.shape[1] - scores.shape[0]
                scores.masked_fill_(torch.ones_like(scores, dtype=torch.bool).triu(offset + 1), -torch.inf)
            if block_mask is not None:
                scores.masked_fill_(~_token_mask(block_mask, batch, head).to(scores.device), -torch.inf)
            lse[batch, head] = scores.logsumexp(dim=1)
            # A row without keys would be softmax of nothing, NaN; its output is 0.
            weights = scores.softmax(dim=1).nan_to_num_(0.0)
            out[batch, head] = weights @ value[source].float()
    return (out, lse) if return_lse else out


def _token_mask(block_mask: BlockMask, batch: int, head: int) -> Tensor:
    one_head = block_mask.blocks[batch : batch + 1, head : head + 1]
    return BlockMask(one_head, block_mask.block_shape, block_mask.query_length, block_mask.key_length).token_mask()[
        0, 0
    ]
