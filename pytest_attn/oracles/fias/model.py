"""A model of torch_npu's npu_fused_infer_attention_score (FIAS) that runs anywhere, for use as an oracle.

It follows the operator's meaning, not its arithmetic: whole rows at once, one precision above the inputs.
Source throughout: the torch_npu 2.13 operator document; where that is silent, the operator's published tiling
and kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .arguments import Arguments

CHUNK_ROWS = 256
"""Query rows per step: 256 rows of 24000 float32 scores take 25 MB."""

UNLIMITED = 2147483647
"""A side of the band without an end, in the operator's own default."""

LOWEST_FLOAT32 = torch.finfo(torch.float32).min
LOWEST_FLOAT16 = torch.finfo(torch.float16).min


@torch.no_grad()
def fused_infer_attention_score(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    atten_mask: Tensor | None = None,
    actual_seq_lengths: Sequence[int] | None = None,
    actual_seq_lengths_kv: Sequence[int] | None = None,
    num_heads: int = 1,
    scale: float = 1.0,
    pre_tokens: int = 2147483647,
    next_tokens: int = 2147483647,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    sparse_mode: int = 0,
    inner_precise: int = 0,
    softmax_lse_flag: bool = False,
) -> tuple[Tensor, Tensor]:
    """softmax(scale * query @ key^T, masked as sparse_mode says) @ value, and its natural-log LSE by row.

    Names and defaults are the operator's: scale is 1.0, never 1/sqrt(D), and True in a mask means masked out.

    Shapes, by input_layout: query [B, N, Sq, D] (BNSD), [B, Sq, N, D] (BSND) or [B, Sq, N * D] (BSH); key and
    value likewise with Skv and num_key_value_heads (0 = num_heads; head h reads key head h // group). Returns
    out, shaped as query with value's head dimension, and lse [B, N, Sq, 1] in every layout. Without
    softmax_lse_flag the second is float32 zeros [1]: nobody may rely on that, for the operator's document and
    its Meta function disagree.

    Dtypes: float16, bfloat16 and, as an extension of this model, float32; int8 is refused. out and lse stay
    in the precision computed in, float32 for half types and float64 for float32, for the caller to round.

    sparse_mode: 0 the mask, and the band -pre_tokens <= j - i <= next_tokens; everything without a mask. 1
    the mask alone. 2 j <= i. 3 j <= i + Skv - Sq. 4 -pre_tokens <= j - i - (Skv - Sq) <= next_tokens. Here
    Skv - Sq is that of the batch's actual lengths. 2, 3 and 4 want the 2048 x 2048 upper triangle for a mask.
    Where Sq is 1, sparse_mode, pre_tokens, next_tokens and actual_seq_lengths have no effect, and a mask is
    one row per batch.

    Rows without keys: see EmptyRows. Decided here, where the document is silent: in mode 0 the band cuts pair
    by pair even where the mask disagrees with it (the operator cuts by tile); any non-zero int8 or uint8
    masks; a compressed mask that is no upper triangle is refused (the operator does not look); value's head
    dimension may differ from D. Not modelled: the hardware's limits (D a multiple of 16, N up to 256) and its
    float16 rounding.

    Raises ValueError where an argument is refused, with its name, its value and what is allowed.
    """
    call = Arguments(
        query=query,
        key=key,
        value=value,
        atten_mask=atten_mask,
        actual_seq_lengths=actual_seq_lengths,
        actual_seq_lengths_kv=actual_seq_lengths_kv,
        num_heads=num_heads,
        scale=scale,
        pre_tokens=pre_tokens,
        next_tokens=next_tokens,
        input_layout=input_layout,
        num_key_value_heads=num_key_value_heads,
        sparse_mode=sparse_mode,
        inner_precise=inner_precise,
    )
    out, lse = attend(call)
    if not softmax_lse_flag:
        lse = torch.zeros(1, dtype=torch.float32, device=query.device)
    return call.in_layout(out), lse


@dataclass(frozen=True, slots=True)
class EmptyRows:
    """What the operator leaves in a row that may attend to no key, which depends on how the row became empty.

    | row | out | lse |
    |---|---|---|
    | no key processed: beyond actual_seq_lengths, outside the band, or no keys at all | 0 | lse |
    | all processed keys masked, corrected | 0 | lse |
    | all processed keys masked, not corrected | mean of value over them | masked_score + log(count) |

    Modes 2, 3 and 4 know the first kind only: there the operator corrects unasked.
    """

    masked_score: float
    """Replaces the scaled score of a masked pair. It is not added, so masked keys weigh all the same."""

    lse: float

    corrected: bool
    """A masked pair counts as not processed, as inner_precise 2 and 3 ask."""

    @classmethod
    def of(cls, call: Arguments) -> EmptyRows:
        """The convention of the path that the operator takes for `call`."""
        if call.decoding:
            return cls(masked_score=-1e12, lse=LOWEST_FLOAT32, corrected=False)
        narrow = call.query.dtype == torch.float16 and bool(call.inner_precise & 1)
        score = LOWEST_FLOAT16 if narrow else LOWEST_FLOAT32
        return cls(masked_score=score, lse=math.inf, corrected=bool(call.inner_precise & 2))


@dataclass(frozen=True, slots=True)
class Band:
    """Query i processes key j where lowest <= j - i <= highest."""

    lowest: int
    highest: int

    @classmethod
    def of(cls, call: Arguments, query_length: int, key_length: int) -> Band:
        """The band of a batch of these actual lengths."""
        bottom_right = key_length - query_length
        if call.decoding:
            return cls(-UNLIMITED, UNLIMITED)
        if call.sparse_mode == 2:
            return cls(-UNLIMITED, 0)
        if call.sparse_mode == 3:
            return cls(-UNLIMITED, bottom_right)
        if call.sparse_mode == 4:
            return cls(bottom_right - call.pre_tokens, bottom_right + call.next_tokens)
        return cls(-call.pre_tokens, call.next_tokens) if call.banded else cls(-UNLIMITED, UNLIMITED)

    def keys(self, rows: range, key_length: int) -> range:
        """From the first to the last key that any of `rows` processes."""
        return range(max(0, rows.start + self.lowest), min(key_length, rows.stop + self.highest))

    def holds(self, rows: range, keys: range) -> bool:
        """Every one of `rows` processes every one of `keys`."""
        return keys.start - rows[-1] >= self.lowest and keys[-1] - rows.start <= self.highest

    def outside(self, rows: range, keys: range, device: torch.device) -> Tensor:
        """bool [rows, keys], True where the pair is not processed."""
        row = torch.arange(rows.start, rows.stop, device=device)[:, None]
        key = torch.arange(keys.start, keys.stop, device=device)
        return (key < row + self.lowest) | (key > row + self.highest)


@dataclass(frozen=True, slots=True)
class Step:
    """Some rows of one head, and all the keys that any of them processes."""

    batch: int
    head: int
    rows: range
    keys: range
    band: Band

    def masked(self, mask: Tensor | None) -> Tensor | None:
        """bool [rows, keys], True where `mask` [1 or B, Sq, Skv] masks the pair; None without a mask."""
        if mask is None:
            return None
        batch = self.batch if mask.shape[0] > 1 else 0
        return mask[batch, self.rows.start : self.rows.stop, self.keys.start : self.keys.stop].bool()

    def outside(self, device: torch.device) -> Tensor | None:
        """bool [rows, keys], True where the pair is not processed; None where all are."""
        if self.band.holds(self.rows, self.keys):
            return None
        return self.band.outside(self.rows, self.keys, device)


def steps(call: Arguments) -> Iterator[Step]:
    """The work of `call`, at most CHUNK_ROWS rows each; rows without a key to process may be in none."""
    actual = zip(call.query_lengths, call.key_lengths, strict=True)
    for batch, (query_length, key_length) in enumerate(actual):
        band = Band.of(call, query_length, key_length)
        for start in range(0, query_length, CHUNK_ROWS):
            rows = range(start, min(start + CHUNK_ROWS, query_length))
            keys = band.keys(rows, key_length)
            for head in range(call.num_heads if keys else 0):
                yield Step(batch, head, rows, keys, band)


def attend(call: Arguments) -> tuple[Tensor, Tensor]:
    """out [B, N, Sq, Dv] and lse [B, N, Sq, 1], float32 for half types and float64 for float32."""
    precision = torch.float64 if call.query.dtype == torch.float32 else torch.float32
    query = call.heads_first(call.query, call.num_heads).to(precision)
    key = call.heads_first(call.key, call.key_heads).to(precision)
    value = call.heads_first(call.value, call.key_heads).to(precision)
    mask, empty, group = call.masked, EmptyRows.of(call), call.num_heads // call.key_heads
    out = query.new_zeros((*query.shape[:3], value.shape[3]))
    lse = query.new_full((*query.shape[:3], 1), empty.lse)
    for step in steps(call):
        here = (step.batch, step.head, slice(step.rows.start, step.rows.stop))
        there = (step.batch, step.head // group, slice(step.keys.start, step.keys.stop))
        scores = (query[here] @ key[there].T).mul_(call.scale)
        weights, lse[here] = weigh(scores, step.masked(mask), step.outside(query.device), empty)
        out[here] = weights @ value[there]
    return out, lse


def weigh(
    scores: Tensor,
    masked: Tensor | None,
    outside: Tensor | None,
    empty: EmptyRows,
) -> tuple[Tensor, Tensor]:
    """The weights [rows, keys] and the lse [rows, 1] of scaled scores [rows, keys], which are overwritten."""
    if masked is not None and empty.corrected:
        outside = masked if outside is None else masked | outside
    elif masked is not None:
        scores.masked_fill_(masked, empty.masked_score)
    if outside is None:
        return scores.softmax(-1), scores.logsumexp(-1, keepdim=True)
    scores.masked_fill_(outside, -math.inf)
    # A row without keys has NaN for a softmax: it is overwritten, since multiplying by zero would keep it.
    keyless = outside.all(-1, keepdim=True)
    weights = scores.softmax(-1).masked_fill_(keyless, 0.0)
    return weights, scores.logsumexp(-1, keepdim=True).masked_fill_(keyless, empty.lse)
