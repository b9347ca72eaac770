"""The query heads of a group as rows of their key head, so that one product serves the whole group."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pytest_attn.kernels.builtin.logits import Logits


def packed(query: Tensor, group: int) -> Tensor:
    """`[B, Hkv, Sq G, D]` of `[B, Hkv G, Sq, D]`: the queries of one position stand together."""
    batch, heads, length, dim = query.shape
    return query.reshape(batch, heads // group, group, length, dim).transpose(2, 3).flatten(2, 3)


def unpacked(rows: Tensor, group: int) -> Tensor:
    """The way back, for an output `[B, Hkv, Sq G, Dv]` or a log-sum-exp `[B, Hkv, Sq G]`."""
    return rows.view(*rows.shape[:2], -1, group, *rows.shape[3:]).transpose(2, 3).flatten(1, 2)


def packed_logits(logits: Logits, group: int) -> Logits:
    """The logits of packed rows, from those of the queries."""
    if logits.blocks is not None:
        raise NotImplementedError("block_mask with the query heads of a group as rows")
    at, first, last = (ends.repeat_interleave(group) for ends in (logits.at, logits.first, logits.last))
    slopes, sinks = (None if each is None else packed(each[None], group)[0] for each in (logits.slopes, logits.sinks))
    bias = logits.bias
    if bias is not None:
        bias = bias.repeat_interleave(group, dim=2) if bias.shape[1] == 1 else packed(bias, group)
    return replace(logits, at=at, first=first, last=last, slopes=slopes, bias=bias, sinks=sinks)
