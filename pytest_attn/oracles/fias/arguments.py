"""The arguments of npu_fused_infer_attention_score: what they must be, and the form that is computed.

Source: the torch_npu 2.13 operator document; where that is silent, the operator's published tiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DIMENSIONS = {"BNSD": 4, "BSND": 4, "BSH": 3}
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
MASK_DTYPES = (torch.bool, torch.int8, torch.uint8)
COMPRESSED_SIZE = 2048
"""Side of the square mask that sparse modes 2, 3 and 4 read instead of a full one."""
LARGEST_GROUP = 64
"""Most query heads that may share one key head."""


def require(condition: bool, argument: str, value: object, allowed: str) -> None:
    """Raises ValueError, "`argument` is `value`, but must be `allowed`.", unless `condition` holds."""
    if not condition:
        raise ValueError(f"{argument} is {value}, but must be {allowed}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arguments:
    """The arguments of one call, under the operator's own names; raises ValueError where one is refused."""

    query: Tensor
    key: Tensor
    value: Tensor
    atten_mask: Tensor | None
    actual_seq_lengths: Sequence[int] | None
    actual_seq_lengths_kv: Sequence[int] | None
    num_heads: int
    scale: float
    pre_tokens: int
    next_tokens: int
    input_layout: str
    num_key_value_heads: int
    sparse_mode: int
    inner_precise: int

    def __post_init__(self) -> None:
        """Checks in an order that lets every check rely on those before it."""
        check_dtypes(self)
        check_heads(self)
        check_shapes(self)
        check_modes(self)
        check_mask(self)
        # Reading them checks them.
        _ = self.query_lengths, self.key_lengths

    @property
    def key_heads(self) -> int:
        """How many heads key and value have: num_key_value_heads, where 0 means num_heads."""
        return self.num_key_value_heads or self.num_heads

    @property
    def batch(self) -> int:
        """B, the first dimension of query, key and value in every layout."""
        return self.query.shape[0]

    @property
    def query_length(self) -> int:
        """Sq as the shape of query says it."""
        return self.heads_first(self.query, self.num_heads).shape[2]

    @property
    def key_length(self) -> int:
        """Skv as the shape of key says it."""
        return self.heads_first(self.key, self.key_heads).shape[2]

    @property
    def decoding(self) -> bool:
        """Sq is 1: on the operator's incremental path modes, pre_tokens and next_tokens have no effect."""
        return self.query_length == 1

    @property
    def compressed(self) -> bool:
        """The mask argument stands for a shape that sparse_mode names, and is not read pair by pair."""
        return not self.decoding and self.sparse_mode in (2, 3, 4)

    @property
    def banded(self) -> bool:
        """pre_tokens and next_tokens have an effect."""
        given = self.sparse_mode == 0 and self.atten_mask is not None
        return not self.decoding and (given or self.sparse_mode == 4)

    @property
    def query_lengths(self) -> tuple[int, ...]:
        """The first rows of each batch that are computed; all rows where Sq is 1."""
        given = None if self.decoding else self.actual_seq_lengths
        return lengths("actual_seq_lengths", given, self.batch, self.query_length)

    @property
    def key_lengths(self) -> tuple[int, ...]:
        """The first keys of each batch that exist."""
        return lengths("actual_seq_lengths_kv", self.actual_seq_lengths_kv, self.batch, self.key_length)

    @property
    def masked(self) -> Tensor | None:
        """The mask that is read pair by pair, [1 or B, at least Sq, at least Skv], non-zero = masked out."""
        if self.atten_mask is None or self.compressed:
            return None
        rows = 1 if self.decoding else self.atten_mask.shape[-2]
        return self.atten_mask.reshape(-1, rows, self.atten_mask.shape[-1])

    def heads_first(self, tensor: Tensor, heads: int) -> Tensor:
        """`tensor` of this layout, with `heads` heads, as a view [B, heads, S, D]."""
        if self.input_layout == "BNSD":
            return tensor
        if self.input_layout == "BSH":
            tensor = tensor.reshape(*tensor.shape[:2], heads, tensor.shape[2] // heads)
        return tensor.transpose(1, 2)

    def in_layout(self, tensor: Tensor) -> Tensor:
        """`tensor` [B, N, Sq, D] in this layout, contiguous."""
        if self.input_layout == "BNSD":
            return tensor
        tensor = tensor.transpose(1, 2)
        return tensor.flatten(2) if self.input_layout == "BSH" else tensor.contiguous()


def lengths(argument: str, given: Sequence[int] | None, batch: int, longest: int) -> tuple[int, ...]:
    """One length per batch, `longest` where none is given; one alone broadcasts, more than B go unread."""
    if given is None:
        return (longest,) * batch
    enough = len(given) == 1 or len(given) >= batch
    require(enough, f"The length of {argument}", len(given), f"1 or at least the batch size, {batch}")
    each = tuple(given) * batch if len(given) == 1 else tuple(given[:batch])
    allowed = f"a list of lengths from 0 to {longest}"
    require(all(0 <= length <= longest for length in each), argument, list(given), allowed)
    return each


def check_dtypes(call: Arguments) -> None:
    """query of a floating dtype, key and value of the same, the mask of bool, int8 or uint8."""
    dtype = call.query.dtype
    require(dtype in DTYPES, "query's dtype", dtype, f"one of {', '.join(map(str, DTYPES))}")
    for name, tensor in (("key", call.key), ("value", call.value)):
        require(tensor.dtype == dtype, f"{name}'s dtype", tensor.dtype, f"query's, {dtype}")
    if call.atten_mask is not None:
        allowed = f"one of {', '.join(map(str, MASK_DTYPES))} (non-zero = masked out)"
        require(call.atten_mask.dtype in MASK_DTYPES, "atten_mask's dtype", call.atten_mask.dtype, allowed)


def check_heads(call: Arguments) -> None:
    """num_heads a positive multiple of num_key_value_heads, at most 64 times as many."""
    require(call.num_heads >= 1, "num_heads", call.num_heads, "at least 1")
    require(
        call.num_key_value_heads >= 0 and call.num_heads % call.key_heads == 0,
        "num_key_value_heads",
        call.num_key_value_heads,
        f"0 (= num_heads) or a divisor of num_heads, {call.num_heads}",
    )
    require(
        call.num_heads <= LARGEST_GROUP * call.key_heads,
        "num_key_value_heads",
        call.num_key_value_heads,
        f"at least num_heads / {LARGEST_GROUP}, where num_heads is {call.num_heads}",
    )


def check_shapes(call: Arguments) -> None:
    """query, key and value of one known layout, that agree with the head counts and with each other."""
    layout = call.input_layout
    require(layout in DIMENSIONS, "input_layout", repr(layout), f"one of {', '.join(DIMENSIONS)}")
    counts = (("query", call.num_heads), ("key", call.key_heads), ("value", call.key_heads))
    for name, heads in counts:
        shape = tuple(getattr(call, name).shape)
        allowed = f"of {DIMENSIONS[layout]} dimensions, as {layout} says"
        require(len(shape) == DIMENSIONS[layout], f"{name}'s shape", shape, allowed)
        agrees = shape[-1] % heads == 0 if layout == "BSH" else shape[layout.index("N")] == heads
        require(agrees, f"{name}'s shape", shape, f"{layout} with {heads} heads, as the head counts say")
    query = call.heads_first(call.query, call.num_heads).shape
    key = call.heads_first(call.key, call.key_heads).shape
    value = call.heads_first(call.value, call.key_heads).shape
    require(key[0] == query[0], "key's batch size", key[0], f"query's, {query[0]}")
    require(key[3] == query[3], "key's head dimension D", key[3], f"query's, {query[3]}")
    require(value[0] == key[0], "value's batch size", value[0], f"key's, {key[0]}")
    require(value[2] == key[2], "value's length", value[2], f"key's, {key[2]}")


def check_modes(call: Arguments) -> None:
    """sparse_mode 0 to 4, inner_precise 0 to 3 (0 or 1 where Sq is 1), and a band that holds a diagonal."""
    require(call.sparse_mode in range(5), "sparse_mode", call.sparse_mode, "one of 0, 1, 2, 3, 4")
    values, allowed = range(4), "one of 0, 1, 2, 3"
    if call.decoding:
        values, allowed = range(2), "0 or 1 where the query length is 1"
    require(call.inner_precise in values, "inner_precise", call.inner_precise, allowed)
    if call.banded:
        given = f"{call.next_tokens} where pre_tokens is {call.pre_tokens}"
        allowed = "at least -pre_tokens (one of them may be negative, not both)"
        require(call.next_tokens >= -call.pre_tokens, "next_tokens", given, allowed)


def check_mask(call: Arguments) -> None:
    """A mask where the mode needs one, and of the shape that the mode and the query length read."""
    mask, mode = call.atten_mask, call.sparse_mode
    if mask is None:
        require(call.decoding or mode == 0, "atten_mask", None, f"a tensor where sparse_mode is {mode}")
    elif call.compressed:
        check_compressed_mask(mask, mode)
    elif call.decoding:
        check_decoding_mask(mask, call.batch, call.key_length)
    else:
        check_full_mask(mask, call.batch, call.query_length, call.key_length)


def check_compressed_mask(mask: Tensor, mode: int) -> None:
    """Exactly 2048 x 2048, at most two leading ones; non-zero strictly above the diagonal, zero elsewhere."""
    size = COMPRESSED_SIZE
    shape = tuple(mask.shape)
    allowed = f"({size}, {size}), after at most two leading ones, where sparse_mode is {mode}"
    fits = shape[-2:] == (size, size) and len(shape) <= 4 and set(shape[:-2]) <= {1}
    require(fits, "atten_mask's shape", shape, allowed)
    above = torch.ones(size, size, dtype=torch.bool, device=mask.device).triu(1)
    # The operator does not look: it would apply whatever stands here to the tiles on the diagonal.
    right = torch.equal(mask.reshape(size, size).bool(), above)
    allowed = f"non-zero strictly above the diagonal and zero elsewhere, where sparse_mode is {mode}"
    require(right, "atten_mask's contents", "something else", allowed)


def check_decoding_mask(mask: Tensor, batch: int, key_length: int) -> None:
    """(B, K), (B, 1, K) or (B, 1, 1, K), K at least Skv: the operator reads one row per batch."""
    shape = tuple(mask.shape)
    fits = len(shape) in (2, 3, 4) and shape[0] == batch and set(shape[1:-1]) <= {1}
    forms = f"({batch}, K), ({batch}, 1, K) or ({batch}, 1, 1, K) with K at least {key_length}"
    allowed = f"{forms} where the query length is 1, whatever sparse_mode says"
    require(fits and shape[-1] >= key_length, "atten_mask's shape", shape, allowed)


def check_full_mask(mask: Tensor, batch: int, query_length: int, key_length: int) -> None:
    """(Q, K), (1 or B, Q, K) or (1 or B, 1, Q, K), Q and K at least Sq and Skv; never one mask per head."""
    shape = tuple(mask.shape)
    if len(shape) == 4:
        # The operator reads head 0 for every head, without a word.
        allowed = "1, for the operator has no mask per head"
        require(shape[1] == 1, "atten_mask's head dimension", shape[1], allowed)
    fits = len(shape) in (2, 3, 4) and (len(shape) == 2 or shape[0] in (1, batch))
    fits = fits and shape[-2] >= query_length and shape[-1] >= key_length
    forms = "(Q, K), (b, Q, K) or (b, 1, Q, K)"
    allowed = f"{forms} with b 1 or {batch}, Q at least {query_length} and K at least {key_length}"
    require(fits, "atten_mask's shape", shape, allowed)
