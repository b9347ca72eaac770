"""What the decoding kernel reads of a KV cache."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pytest_attn.kernels.builtin.eager import eager
from pytest_attn.kernels.builtin.kv_cache_decode import cached, kv_cache_decode

LENGTHS = (70, 0, 33)
NOWHERE = 2**30
"""A page that is in no pool."""


def drawn() -> tuple[Tensor, Tensor, Tensor]:
    """Query `[3, 4, 2, 16]`; key and value `[3, 2, 70, 16]`, NaN beyond LENGTHS."""
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(3, heads, 70, 16, generator=generator) for heads in (4, 2, 2))
    for batch, length in enumerate(LENGTHS):
        key[batch, :, length:] = value[batch, :, length:] = torch.nan
    return query[:, :, :2], key, value


def paged(tensor: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """(pool, table) of `[B, H, S, D]`: pages in reverse order, none that a sequence does not need."""
    table = torch.full((len(LENGTHS), -(-tensor.shape[2] // page)), NOWHERE, dtype=torch.int32)
    pages: list[Tensor] = []
    for batch, length in enumerate(LENGTHS):
        for number, start in enumerate(range(0, length, page)):
            rows = tensor[batch, :, start : start + page].transpose(0, 1)
            pages.append(torch.cat([rows, rows.new_full((page - len(rows), *rows.shape[1:]), torch.nan)]))
            table[batch, number] = len(pages)
    return torch.stack([*pages, pages[0]]).flip(0), table.where(table == NOWHERE, len(pages) + 1 - table)


@pytest.mark.parametrize("causal", [False, True], ids=["dense", "causal"])
@pytest.mark.parametrize("page", [1, 16, 100])
def test_pages_give_the_bits_of_a_contiguous_cache_and_nothing_beyond_a_length_is_read(page: int, causal: bool) -> None:
    query, key, value = drawn()
    lengths = torch.tensor(LENGTHS, dtype=torch.int32)
    (keys, table), (values, _) = paged(key, page), paged(value, page)
    keywords = {"scale": 0.25, "causal": causal, "return_lse": True, "split": 32}
    contiguous = kv_cache_decode(query, key, value, seqused_k=lengths, **keywords)
    found = kv_cache_decode(query, keys, values, block_table=table, cache_seqlens=lengths, **keywords)
    assert all(torch.equal(*pair) for pair in zip(found, contiguous, strict=True))
    assert bool(found[0].isfinite().all())


def test_a_sequence_ends_at_its_own_last_key() -> None:
    query, key, value = drawn()
    keywords = {"scale": 0.25, "causal": True, "return_lse": True}
    found = kv_cache_decode(query, key, value, seqused_k=torch.tensor(LENGTHS), split=32, **keywords)
    for batch, length in enumerate(LENGTHS):
        alone = eager(query[batch, None], key[batch, None, :, :length], value[batch, None, :, :length], **keywords)
        for tensor, expected in zip(found, alone, strict=True):
            torch.testing.assert_close(tensor[batch, None], expected)


def test_keys_before_every_window_are_not_read() -> None:
    query, key, value = (tensor[:1] for tensor in drawn())
    key[:, :, :60] = value[:, :, :60] = torch.nan
    seen = {"scale": 0.25, "window_size": (8, 0)}
    assert bool(kv_cache_decode(query, key, value, **seen).isfinite().all())
    assert bool(kv_cache_decode(query, key, value, **seen | {"window_size": (9, 0)}).isnan().any())


def test_a_span_of_pages_comes_in_the_order_of_the_table() -> None:
    pool = torch.arange(12).view(3, 4, 1, 1)
    table = torch.tensor([[NOWHERE, NOWHERE], [2, 0]])
    assert cached(pool, 1, slice(2, 7), table).flatten().tolist() == [10, 11, 0, 1, 2]
