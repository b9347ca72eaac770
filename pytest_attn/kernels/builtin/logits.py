"""Which keys the rows of a score matrix see, and what becomes of their logits: for kernels of whole rows and of tiles.

Query i of Sq stands at key a = i + Skv - Sq. Its logits, natural and scaled, are in turn

    capped    c tanh(s / c)
    sloped    s - slope |a - j|                                  ALiBi (Press et al., 2021)
    biased    s + bias[i, j]
    hidden    -inf unless first[i] <= j <= last[i]               causal masks and windows
              and the block of (i, j) is kept                    block masks
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_attn.problem.block_mask import BlockMask


@dataclass(frozen=True, eq=False, kw_only=True)
class Logits:
    """`at`, `first` and `last` are int64 `[rows]` and do not fall: the key beside each row, and the first and the last
    that it sees; below 0, or beyond the last key, where a window hangs over. `slopes` and `sinks` are `[H, rows, 1]`,
    `bias` `[B or 1, H or 1, rows, Skv]`. A sink is a logit that stands in the sum of its row and has no value."""

    at: Tensor
    first: Tensor
    last: Tensor
    softcap: float = 0.0
    slopes: Tensor | None = None
    bias: Tensor | None = None
    blocks: BlockMask | None = None
    sinks: Tensor | None = None

    @staticmethod
    def of(
        query: Tensor,
        keys: int,
        *,
        causal: bool = False,
        causal_top_left: bool = False,
        window_size: tuple[int, int] = (-1, -1),
        softcap: float = 0.0,
        alibi_slopes: Tensor | None = None,
        attn_bias: Tensor | None = None,
        block_mask: BlockMask | None = None,
        sinks: Tensor | None = None,
    ) -> Logits:
        """Those of query `[B, H, Sq, D]` over so many keys, from the keywords of a kernel. A row is a query."""
        row = torch.arange(query.shape[2], device=query.device)
        at, (left, right) = row + keys - len(row), window_size
        last = torch.full_like(at, keys - 1) if right < 0 else at + right
        if causal or causal_top_left:
            last = row if causal_top_left else at
        slopes, sinks = (
            None if each is None else each.view(-1, 1, 1).expand(-1, len(row), 1) for each in (alibi_slopes, sinks)
        )
        return Logits(
            at=at,
            first=torch.zeros_like(at) if left < 0 else at - left,
            last=last,
            softcap=softcap,
            slopes=slopes,
            bias=attn_bias,
            blocks=block_mask,
            sinks=sinks,
        )

    def changes(self, keys: int) -> bool:
        """Whether the logits over so many keys become anything else."""
        changed = self.softcap or any(part is not None for part in (self.slopes, self.bias, self.blocks))
        return bool(changed or (self.first > 0).any() or (self.last < keys - 1).any())

    def seen(self, rows: slice, keys: int) -> tuple[int, int]:
        """The first of so many keys that some of the rows see, and the one behind the last; not beyond it where they
        see none."""
        return max(int(self.first[rows][0]), 0), min(int(self.last[rows][-1]) + 1, keys)

    def changed(self, scores: Tensor, rows: slice, keys: slice) -> Tensor:
        """Scores `[B, H, rows, keys]`, float32 or float64, as the softmax takes them."""
        key = torch.arange(keys.start, keys.stop, device=scores.device)
        if self.softcap:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        if self.slopes is not None:
            scores = scores - self.slopes[:, rows].to(scores.dtype) * (self.at[rows].unsqueeze(1) - key).abs()
        if self.bias is not None:
            scores = scores + self.bias[:, :, rows, keys]
        hidden = (key > self.last[rows].unsqueeze(1)) | (key < self.first[rows].unsqueeze(1))
        if self.blocks is not None:
            hidden = hidden | ~_kept(self.blocks, rows, key)
        return scores.masked_fill(hidden, -torch.inf)

    def split(self, start: int) -> Logits:
        """Those of the keys from `start` on, for a part of the keys; the sink belongs to no part."""
        bias = None if self.bias is None else self.bias[..., start:]
        at, first, last = (ends - start for ends in (self.at, self.first, self.last))
        return replace(self, at=at, first=first, last=last, bias=bias, sinks=None)


def _kept(mask: BlockMask, rows: slice, key: Tensor) -> Tensor:
    """bool `[B, H, rows, keys]`: the pairs that a block mask allows."""
    query_block, key_block = mask.block_shape
    row = torch.arange(rows.start, rows.stop, device=key.device)
    return mask.blocks[:, :, row // query_block][..., key // key_block]
