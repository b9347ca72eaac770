"""PyTorch's flash kernel for the CPU, with its log-sum-exp."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.builtin.widened import blas_chain, half, last_place, wide, widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import EmptyRows, Numerics
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.problem import Problem

QUERY_SPLITS = {256: 768, 64: 192, 32: 0}
"""Queries that the kernel takes at a time, and from how many on."""

CHAIN = 512
"""Keys that the kernel takes at a time."""


def numerics(problem: Problem) -> Numerics:
    """For half types the kernel's vector exponential trades accuracy for speed: 6.8e-5 was the largest LSE error
    seen. The backward pass adds each tile to gradients of the input type."""
    backward = BackwardNumerics(
        stored_gradients="input",
        query_tile=next((split for split, least in QUERY_SPLITS.items() if problem.query_length >= least)),
        key_tile=CHAIN,
    )
    if half(problem):
        return Numerics(exp_error=7e-5, backward=backward)
    step = problem.mask.row_step(problem.lengths)
    rows = {(length - 1) % split + 1 for length in (problem.query_length % step, step) for split in QUERY_SPLITS}
    rows |= {problem.key_length} if problem.wants_grad else set()
    chain = CHAIN if wide(problem) == "float64" else blas_chain(problem, min(rows))
    return Numerics(exp_error=last_place(problem), chain=chain, backward=backward)


def flash(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(out, lse) of the flash kernel; `mask` is additive, broadcastable to `[B, Hq, Sq, Skv]`. As many key heads as
    query heads."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default(  # type: ignore[no-any-return]
        query, key, value, 0.0, False, attn_mask=mask, scale=scale
    )


@kernel(
    devices=("cpu",),
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    backward=True,
    window_size=True,
    seqused_k=True,
    cu_seqlens=True,
    unread_padding=True,
    alibi_slopes=True,
    attn_bias=True,
    numerics=numerics,
    # The kernel skips what a mask leaves empty and reports the logarithm of an untouched sum.
    empty_rows=EmptyRows(out="zero", lse=0.0),
)
def sdpa(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, return_lse: bool = False, **variants: Any
) -> Tensor | tuple[Tensor, Tensor]:
    """`torch.ops.aten._scaled_dot_product_flash_attention_for_cpu`; masks, biases and ALiBi are given as one mask that
    is added to the logits. `variants` are the keywords of `each_sequence` and `Logits.of`."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        if not (query.shape[2] and key.shape[2]):
            empty = widened(query.new_zeros(query.shape[:3]))
            return query.new_zeros((*query.shape[:3], value.shape[3])), empty
        group = query.shape[1] // key.shape[1]
        if group > 1:
            key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
        return flash(query, key, value, scale, added(Logits.of(query, key.shape[2], **changes), query, key.shape[2]))

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out


def added(logits: Logits, query: Tensor, keys: int) -> Tensor | None:
    """What becomes of logits as a mask to add, `[B or 1, H or 1, Sq, keys]`; None where nothing does."""
    if not logits.changes(keys):
        return None
    zeros = widened(query.new_zeros(1, 1, query.shape[2], keys))
    mask = logits.changed(zeros, slice(0, query.shape[2]), slice(0, keys))
    exact = logits.slopes is not None or logits.bias is not None
    return mask if exact else mask.to(query.dtype)
