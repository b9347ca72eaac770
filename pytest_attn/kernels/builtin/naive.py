"""The whole score matrix in memory, every step stored in the dtype of the inputs (Vaswani et al., 2017).

    S = scale Q K^T          Sq x Skv, stored
    P = softmax(S)           Sq x Skv, stored
    O = P V

Memory grows with Sq Skv. Unlike `eager`, which goes through the queries in pieces and in float32, half types lose
precision in both matrices: this is the baseline that flash kernels are compared with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.causal import last_keys
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import BLAS_CHAIN, FEW_ROWS, Numerics
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.problem import Problem


def numerics(problem: Problem) -> Numerics:
    """Scores and normalised weights are stored in the dtype of the inputs; BLAS combines shorter sums."""
    chain = None if problem.dtype == torch.float32 and problem.query_length <= FEW_ROWS else BLAS_CHAIN
    return Numerics(probabilities="input", logits="input", normalized=True, exp_error=2.0**-23, chain=chain)


@kernel(
    lse=True,
    causal=True,
    causal_top_left=True,
    block_sparse=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    numerics=numerics,
)
def naive(
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
    """Attention of all heads at once over the whole score matrix."""
    allowed = None
    if block_mask is not None:
        allowed = block_mask.token_mask()
    elif causal or causal_top_left:
        last = last_keys(query, key, causal, causal_top_left).unsqueeze(1)
        allowed = torch.arange(key.shape[2], device=key.device) <= last
    out, lse = whole_rows(query, key, value, scale, allowed, return_lse)
    return out if lse is None else (out, lse)


def whole_rows(
    query: Tensor, key: Tensor, value: Tensor, scale: float, allowed: Tensor | None, return_lse: bool
) -> tuple[Tensor, Tensor | None]:
    """(out, lse) of the given queries over all keys; `allowed` broadcasts to `[B, H, Sq, Skv]`, True = may attend."""
    # Products in float32, rounded when they are stored, are what a half matmul does where it is fast.
    scores = (query.float() @ key.float().mT).mul_(scale).to(query.dtype)
    if allowed is not None:
        scores.masked_fill_(~allowed, -torch.inf)
    lse = scores.float().logsumexp(dim=3) if return_lse else None
    # A row without keys would be softmax of nothing, NaN; its output is 0.
    weights = scores.softmax(dim=3).nan_to_num_(0.0)
    return (weights.float() @ value.float()).to(query.dtype), lse
