"""The whole score matrix in memory, every step stored in the dtype of the inputs (Vaswani et al., 2017).

    S = scale Q K^T          Sq x Skv, stored
    P = softmax(S)           Sq x Skv, stored
    O = P V

and backward, with dP = dO V^T and delta = rowsum(P dP),

    dS = P (dP - delta)      Sq x Skv, stored
    dV = P^T dO,  dQ = scale dS K,  dK = scale dS^T Q

Memory grows with Sq Skv. Unlike `eager`, which goes through the queries in pieces and in float32 at least, half types
lose precision in both matrices: this is the baseline that flash kernels are compared with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import by_sequence, each_sequence
from pytest_attn.kernels.builtin.widened import blas_chain, last_place, wide, widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.problem import Problem


def numerics(problem: Problem) -> Numerics:
    """Scores and normalised weights are stored in the dtype of the inputs; BLAS combines shorter sums."""
    fewest = min(problem.lengths_of(batch).query for batch in range(problem.batch))
    return whole_row_numerics(problem, min(fewest, problem.key_length) if problem.wants_grad else fewest)


def whole_row_numerics(problem: Problem, rows: int) -> Numerics:
    """Those of `whole_rows`, where products have so many rows at least."""
    chain = blas_chain(problem, rows)
    return Numerics(
        probabilities="input",
        logits="input",
        normalized=True,
        exp_error=last_place(problem),
        tanh_error=2 * last_place(problem),
        chain=chain,
        backward=BackwardNumerics(delta_of="probabilities", grouped_gradients=wide(problem)),
    )


@by_sequence
def naive_backward(
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    block_mask: BlockMask | None = None,
    **absent: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """(dq, dk, dv) under any mask; the keywords of variants that change logits otherwise say that there is none."""
    group = query.shape[1] // key.shape[1]
    keys, values = (widened(tensor).repeat_interleave(group, dim=1) for tensor in (key, value))
    queries, grads = widened(query), widened(grad_out)
    changes: dict[str, Any] = {"causal": causal, "causal_top_left": causal_top_left, "block_mask": block_mask}
    logits = Logits.of(query, key.shape[2], window_size=window_size, **changes)
    scores = logits.changed(queries @ keys.mT * scale, slice(0, query.shape[2]), slice(0, key.shape[2]))
    p = widened(scores.to(query.dtype)).softmax(dim=3).nan_to_num(0.0)
    dp = grads @ values.mT
    ds = widened((p * (dp - (p * dp).sum(dim=3, keepdim=True))).to(query.dtype)) * scale
    dk, dv = ds.mT @ queries, widened(p.to(query.dtype)).mT @ grads
    dk, dv = (of_group(tensor, group).to(query.dtype) for tensor in (dk, dv))
    return (ds @ keys).to(query.dtype), dk, dv


def of_group(tensor: Tensor, group: int) -> Tensor:
    """The sums `[B, Hkv, S, D]` over the query heads of each group of `[B, Hq, S, D]`."""
    batch, heads, length, dim = tensor.shape
    return tensor.view(batch, heads // group, group, length, dim).sum(dim=2)


@kernel(
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    block_sparse=True,
    block_sparse_causal=True,
    value_dim=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    backward=naive_backward,
    window_size=True,
    seqused_k=True,
    cu_seqlens=True,
    block_table=True,
    unread_padding=True,
    softcap=True,
    alibi_slopes=True,
    attn_bias=True,
    sinks=True,
    numerics=numerics,
)
def naive(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, return_lse: bool = False, **variants: Any
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of all heads at once over the whole score matrix; `variants` are the keywords of `each_sequence` and
    `Logits.of`."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        every = slice(0, query.shape[2])
        return whole_rows(query, key, value, scale, Logits.of(query, key.shape[2], **changes), every)

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out


def whole_rows(
    query: Tensor, key: Tensor, value: Tensor, scale: float, logits: Logits, rows: slice
) -> tuple[Tensor, Tensor]:
    """(out, lse) of some rows `[B, Hq, rows, D]` of the queries that `logits` belong to, over all keys."""
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key, value = (tensor.repeat_interleave(group, dim=1) for tensor in (key, value))
    # Products in float32 or more, rounded when they are stored, are what a half matmul does where it is fast.
    scores = (widened(query) @ widened(key).mT).mul_(scale)
    if logits.changes(key.shape[2]):
        scores = logits.changed(scores, rows, slice(0, key.shape[2]))
    scores = scores.to(query.dtype)
    if logits.sinks is None:
        lse, weights = widened(scores).logsumexp(dim=3), scores.softmax(dim=3)
    else:
        sinks = logits.sinks[:, rows].expand(*scores.shape[:3], 1)
        with_sink = torch.cat([widened(scores), sinks], dim=3)
        lse, weights = with_sink.logsumexp(dim=3), with_sink.softmax(dim=3)[..., :-1].to(query.dtype)
    # A row without keys would be softmax of nothing, NaN; its output is 0.
    return (widened(weights.nan_to_num_(0.0)) @ widened(value)).to(query.dtype), lse
