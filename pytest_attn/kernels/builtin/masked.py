"""Attention under any mask, one chunk of queries at a time: `chunk x Skv` scores in memory, all keys of a row at once.

What is left where a mask has no structure that a flash kernel could use. The mask of a chunk exists only while its
queries are computed; the arithmetic is that of `naive`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.naive import whole_row_numerics, whole_rows
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.builtin.widened import widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.problem import Problem

CHUNK = 128
"""Queries whose scores are computed at a time, so that no whole matrix of scores is held."""


def numerics(problem: Problem) -> Numerics:
    """As `naive`; the last chunk of a sequence may be of few queries."""
    lengths = (problem.lengths_of(batch).query for batch in range(problem.batch))
    return whole_row_numerics(problem, min((length - 1) % CHUNK + 1 for length in lengths))


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
    window_size=True,
    seqused_k=True,
    cu_seqlens=True,
    unread_padding=True,
    softcap=True,
    alibi_slopes=True,
    attn_bias=True,
    sinks=True,
    numerics=numerics,
)
def masked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    return_lse: bool = False,
    chunk: int = CHUNK,
    **variants: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of all heads at once, `chunk` queries after the other; `variants` are the keywords of `each_sequence`
    and `Logits.of`."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        out = query.new_empty((*query.shape[:3], value.shape[3]))
        lse = widened(query.new_empty(query.shape[:3]))
        logits = Logits.of(query, key.shape[2], **changes)
        for start in range(0, query.shape[2], chunk):
            rows = slice(start, min(start + chunk, query.shape[2]))
            out[:, :, rows], lse[:, :, rows] = whole_rows(query[:, :, rows], key, value, scale, logits, rows)
        return out, lse

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out
