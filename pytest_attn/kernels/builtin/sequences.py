"""Batches of sequences of unequal length, padded, packed or paged: one after the other, each cut to its own length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.widened import widened
from pytest_attn.problem.block_mask import BlockMask

Attend = Callable[..., tuple[Tensor, Tensor]]
"""(out `[B, Hq, Sq, Dv]`, lse `[B, Hq, Sq]`) of query, key and value of sequences that are as long as their tensors."""

Gradients = tuple[Tensor, Tensor, Tensor]

Backward = Callable[..., Gradients]
"""(dq, dk, dv) of grad_out, query, key, value, out and lse of sequences that are as long as their tensors."""


def each_sequence(
    attend: Attend,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    seqused_k: Tensor | None = None,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    max_seqlen_q: int | None = None,
    max_seqlen_k: int | None = None,
    block_table: Tensor | None = None,
    cache_seqlens: Tensor | None = None,
    **keywords: Any,
) -> tuple[Tensor, Tensor]:
    """What `attend` makes of each sequence, in the form of the batch; all at once where they are equally long. Further
    keywords are handed on; of `attn_bias` and `block_mask` the part of the sequence."""
    if cu_seqlens_q is not None and cu_seqlens_k is not None:
        return _packed(attend, query, key, value, cu_seqlens_q.tolist(), cu_seqlens_k.tolist(), keywords)
    if block_table is not None:
        key, value, seqused_k = of_pages(key, block_table), of_pages(value, block_table), cache_seqlens
    if seqused_k is None:
        return attend(query, key, value, **keywords)
    found = []
    for batch, length in enumerate(seqused_k.tolist()):
        own = slice(batch, batch + 1)
        tensors = (query[own], key[own, :, :length], value[own, :, :length])
        found.append(attend(*tensors, **of_sequence(keywords, batch, length)))
    outs, lses = zip(*found, strict=True)
    # Partial results have their splits before the batch.
    return torch.cat(outs, dim=-4), torch.cat(lses, dim=-3)


def by_sequence(backward: Backward) -> Backward:
    """The backward pass that does what `backward` does of each sequence, in the form of the batch; all at once where
    they are equally long. Keys that no sequence has have gradients of 0."""

    def of_batch(
        grad_out: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        out: Tensor,
        lse: Tensor,
        *,
        seqused_k: Tensor | None = None,
        cu_seqlens_q: Tensor | None = None,
        cu_seqlens_k: Tensor | None = None,
        **keywords: Any,
    ) -> Gradients:
        if cu_seqlens_q is None and seqused_k is None:
            return backward(grad_out, query, key, value, out, lse, **keywords)
        dq, dk, dv = (torch.zeros_like(tensor) for tensor in (query, key, value))
        if cu_seqlens_q is not None and cu_seqlens_k is not None:
            ends, key_ends = cu_seqlens_q.tolist(), cu_seqlens_k.tolist()
            for number in range(len(ends) - 1):
                rows, span = (slice(each[number], each[number + 1]) for each in (ends, key_ends))
                given = ((grad_out, rows), (query, rows), (key, span), (value, span), (out, rows))
                sequence = (tensor[own].transpose(0, 1)[None] for tensor, own in given)
                found = backward(*sequence, lse[None, :, rows], **keywords)
                dq[rows], dk[span], dv[span] = (gradient[0].transpose(0, 1) for gradient in found)
        elif seqused_k is not None:
            for batch, length in enumerate(seqused_k.tolist()):
                own, keys = slice(batch, batch + 1), (slice(batch, batch + 1), slice(None), slice(0, length))
                rest = of_sequence(keywords, batch, length)
                found = backward(grad_out[own], query[own], key[keys], value[keys], out[own], lse[own], **rest)
                dq[own], dk[keys], dv[keys] = found
        return dq, dk, dv

    return of_batch


def of_pages(pool: Tensor, block_table: Tensor) -> Tensor:
    """`[B, H, S, D]` of pages `[pages, page, H, D]`; S is a multiple of the page."""
    return pool[block_table.long()].flatten(1, 2).transpose(1, 2)


def _packed(
    attend: Attend,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_ends: list[int],
    key_ends: list[int],
    keywords: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """out `[total_q, Hq, Dv]` and lse `[Hq, total_q]`."""
    out = query.new_empty((*query.shape[:2], value.shape[2]))
    lse = widened(query.new_empty((query.shape[1], query.shape[0])))
    for number in range(len(query_ends) - 1):
        rows, keys = (slice(ends[number], ends[number + 1]) for ends in (query_ends, key_ends))
        sequence = (tensor[own].transpose(0, 1)[None] for tensor, own in ((query, rows), (key, keys), (value, keys)))
        found, found_lse = attend(*sequence, **keywords)
        out[rows], lse[:, rows] = found[0].transpose(0, 1), found_lse[0]
    return out, lse


def of_sequence(keywords: dict[str, Any], batch: int, length: int) -> dict[str, Any]:
    """The keywords of one sequence: its own part of `attn_bias` and `block_mask`."""
    own = dict(keywords)
    bias, mask = (keywords.get(name) for name in ("attn_bias", "block_mask"))
    if bias is not None:
        number = batch if len(bias) > 1 else 0
        own["attn_bias"] = bias[number : number + 1, ..., :length]
    if mask is not None:
        blocks = mask.blocks[batch : batch + 1, ..., : -(-length // mask.block_shape[1])]
        own["block_mask"] = BlockMask(blocks, mask.block_shape, mask.query_length, length)
    return own
