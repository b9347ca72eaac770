"""A flash kernel in plain torch, as its author would hand it to pytest-attn."""

import torch

import pytest_attn


@pytest_attn.kernel(lse=True, causal=True, gqa=True, value_dim=True)
def my_flash(q, k, v, *, scale, causal=False, return_lse=False):
    """q [B, Hq, Sq, D]; k [B, Hkv, Skv, D]; v [B, Hkv, Skv, Dv] -> out [B, Hq, Sq, Dv]
    or, where return_lse, (out, lse [B, Hq, Sq] float32, natural log)."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    queries, keys, tile = q.shape[2], k.shape[2], 128
    row_max = torch.full((*q.shape[:3], 1), -torch.inf)
    row_sum = torch.zeros_like(row_max)
    acc = torch.zeros((*q.shape[:3], v.shape[3]))
    for start in range(0, keys, tile):
        stop = min(start + tile, keys)
        scores = q.float() @ k[:, :, start:stop].float().mT * scale
        if causal:
            query = torch.arange(queries).unsqueeze(1) + keys - queries
            scores.masked_fill_(torch.arange(start, stop) > query, -torch.inf)
        new_max = torch.maximum(row_max, scores.amax(dim=3, keepdim=True))
        shift = new_max.masked_fill(new_max.isneginf(), 0.0)
        p = torch.exp(scores - shift)
        decay = torch.exp(row_max - shift)
        row_sum = row_sum * decay + p.sum(dim=3, keepdim=True)
        acc = acc * decay + p.to(v.dtype).float() @ v[:, :, start:stop].float()
        row_max = new_max
    out = (acc / row_sum).nan_to_num(0.0).to(q.dtype)
    lse = (row_max + row_sum.log()).squeeze(3)
    return (out, lse) if return_lse else out
