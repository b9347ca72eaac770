"""A block mask and its conversions: exact both ways, or refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from pytest_attn.problem.block_mask import SABI_PADDING, BlockMask

PAD = SABI_PADDING


@st.composite
def block_masks(draw: st.DrawFn) -> BlockMask:
    """Up to 2 batches, 3 heads and 6 x 6 blocks; partial last blocks, empty and full rows."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    lengths = draw(st.tuples(st.integers(1, 6 * shape[0]), st.integers(1, 6 * shape[1])))
    heads = draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    size = (*heads, -(-lengths[0] // shape[0]), -(-lengths[1] // shape[1]))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))
    return BlockMask(torch.rand(size, generator=generator) < share, shape, *lengths)


def sabi_of(rows: list[list[int]], *, dtype: torch.dtype = torch.uint16) -> Tensor:
    """A sabi tensor of one batch and one head."""
    return torch.tensor([[rows]], dtype=torch.int32).to(dtype)


def read_sabi(rows: list[list[int]], length: int = 40) -> BlockMask:
    """The mask of 10 x 10 blocks that the rows of one head give."""
    return BlockMask.from_sabi(sabi_of(rows), (10, 10), 10 * len(rows), length)


@given(block_masks())
@settings(max_examples=50, deadline=None)
def test_sabi_and_back_is_the_same_mask(mask: BlockMask) -> None:
    back = BlockMask.from_sabi(mask.sabi, mask.block_shape, mask.query_length, mask.key_length)
    assert torch.equal(back.blocks, mask.blocks)


@given(block_masks())
@settings(max_examples=50, deadline=None)
def test_token_mask_and_back_is_the_same_mask(mask: BlockMask) -> None:
    assert torch.equal(BlockMask.from_token_mask(mask.token_mask(), mask.block_shape).blocks, mask.blocks)


@given(block_masks())
@settings(max_examples=50, deadline=None)
def test_csr_and_back_is_the_same_mask(mask: BlockMask) -> None:
    heads = (mask.blocks.shape[0], mask.blocks.shape[1])
    back = BlockMask.from_csr(*mask.csr(), heads, mask.block_shape, mask.query_length, mask.key_length)
    assert torch.equal(back.blocks, mask.blocks)


@given(block_masks())
@settings(max_examples=50, deadline=None)
def test_flex_and_back_is_the_same_mask(mask: BlockMask) -> None:
    back = BlockMask.from_flex(mask.flex())
    assert torch.equal(back.blocks, mask.blocks)
    assert back.block_shape == mask.block_shape
    assert (back.query_length, back.key_length) == (mask.query_length, mask.key_length)


@given(block_masks())
@settings(max_examples=50, deadline=None)
def test_flex_holds_the_blocks_that_flex_attention_finds_itself(mask: BlockMask) -> None:
    heads, lengths = mask.blocks.shape[:2], (mask.query_length, mask.key_length)
    found = create_block_mask(mask.mask_mod, *heads, *lengths, device="cpu", BLOCK_SIZE=mask.block_shape)
    mine = mask.flex()
    assert torch.equal(mine.kv_num_blocks, found.kv_num_blocks)
    assert torch.equal(mine.full_kv_num_blocks, found.full_kv_num_blocks)
    assert torch.equal(mine.kv_indices, found.kv_indices)
    assert torch.equal(mine.full_kv_indices, found.full_kv_indices)


def test_a_flex_mask_that_keeps_part_of_a_block_is_refused() -> None:
    causal = create_block_mask(lambda b, h, q, k: k <= q, None, None, 64, 64, device="cpu", BLOCK_SIZE=32)
    with pytest.raises(ValueError, match=r"token mask: batch 0, head 0, block \(0, 0\) is kept in part"):
        BlockMask.from_flex(causal)


@given(block_masks())
@settings(max_examples=50, deadline=None)
def test_kept_rows_and_back_is_the_same_mask(mask: BlockMask) -> None:
    batches, heads = mask.blocks.shape[:2]
    kept = [mask.kept_rows(b, h) for b in range(batches) for h in range(heads)]
    back = BlockMask.from_kept_rows(kept, batches, mask.block_shape, mask.query_length, mask.key_length)
    assert torch.equal(back.blocks, mask.blocks)


@given(block_masks())
@settings(max_examples=50, deadline=None)
def test_a_sabi_row_is_its_kept_blocks_ascending_then_padding(mask: BlockMask) -> None:
    columns = mask.blocks.shape[3]
    rows = mask.sabi.flatten(0, 2).tolist()
    kept = [[col for col in range(columns) if row[col]] for row in mask.blocks.flatten(0, 2).tolist()]
    assert rows == [row + [0xFFFF] * (columns - len(row)) for row in kept]


@given(block_masks())
@settings(max_examples=30, deadline=None)
def test_a_token_pair_is_kept_where_its_block_is(mask: BlockMask) -> None:
    rows = torch.arange(mask.query_length) // mask.block_shape[0]
    cols = torch.arange(mask.key_length) // mask.block_shape[1]
    assert torch.equal(mask.token_mask(), mask.blocks[:, :, rows][..., cols])


@given(block_masks())
@settings(max_examples=30, deadline=None)
def test_kept_counts_the_blocks_of_all_batches_and_heads(mask: BlockMask) -> None:
    assert mask.kept == sum(mask.blocks.flatten().tolist())


def test_sabi_is_uint16() -> None:
    assert read_sabi([[0, 3, PAD, PAD]]).sabi.dtype == torch.uint16


def test_sabi_may_be_narrower_than_the_grid() -> None:
    assert read_sabi([[1, 3], [0, PAD]]).kept_rows(0, 0) == [[1, 3], [0]]


def test_more_blocks_than_sabi_can_index_are_refused() -> None:
    mask = BlockMask(torch.ones(1, 1, 1, 65536, dtype=torch.bool), (1, 1), 1, 65536)
    with pytest.raises(ValueError, match="65536 key blocks; allowed: at most 65535"):
        _ = mask.sabi


def test_csr_is_offsets_and_ascending_columns_in_row_order() -> None:
    offsets, columns = read_sabi([[1, 3, PAD, PAD], [PAD] * 4, [0, 1, 2, 3]]).csr()
    assert (offsets.tolist(), columns.tolist()) == ([0, 2, 2, 6], [1, 3, 0, 1, 2, 3])


def test_csr_is_int64_offsets_and_int32_columns() -> None:
    offsets, columns = read_sabi([[1, 3, PAD, PAD]]).csr()
    assert (offsets.dtype, columns.dtype) == (torch.int64, torch.int32)


@pytest.mark.parametrize(
    ("row", "slot", "value", "why"),
    [
        ([0, 4, PAD, PAD], 1, 4, "out of range"),
        ([0, PAD, 2, PAD], 2, 2, "behind padding"),
        ([PAD, 0, 1, 2], 1, 0, "behind padding"),
        ([0, 2, 2, PAD], 2, 2, "duplicate"),
        ([0, 3, 1, PAD], 2, 1, "not ascending"),
        ([3, 2, 1, 0], 1, 2, "not ascending"),
    ],
)
def test_a_bad_sabi_row_is_refused_with_its_row_and_value(row: list[int], slot: int, value: int, why: str) -> None:
    place = re.escape(f"batch 0, head 0, row 1, slot {slot}: value {value} ")
    with pytest.raises(ValueError, match=f"{place}.*{why}"):
        read_sabi([[0, 1, 2, 3], row])


def test_a_bad_sabi_row_is_refused_with_its_batch_and_head() -> None:
    sabi = torch.zeros(2, 3, 1, 1, dtype=torch.int32)
    sabi[1, 2, 0, 0] = 7
    with pytest.raises(ValueError, match="batch 1, head 2, row 0, slot 0: value 7"):
        BlockMask.from_sabi(sabi.to(torch.uint16), (10, 10), 10, 10)


@pytest.mark.parametrize("wrong", [torch.int16, torch.int32, torch.int64, torch.bool])
def test_sabi_of_another_dtype_is_refused(wrong: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"sabi: dtype is {wrong}; allowed: torch.uint16"):
        BlockMask.from_sabi(sabi_of([[0, 1]], dtype=wrong), (10, 10), 10, 20)


@pytest.mark.parametrize("shape", [(1, 1, 3, 2), (1, 1, 2, 3), (1, 2, 2), (1, 1, 1, 2, 2)])
def test_sabi_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    sabi = torch.zeros(shape, dtype=torch.uint16)
    with pytest.raises(ValueError, match=re.escape(f"sabi: shape is {list(shape)}; allowed: [B, H, 2, at most 2]")):
        BlockMask.from_sabi(sabi, (10, 10), 20, 20)


@pytest.mark.parametrize("place", [(0, 0, 10, 20), (1, 1, 4, 3), (1, 0, 24, 24)])
def test_a_block_that_is_kept_in_part_is_refused_by_name(place: tuple[int, int, int, int]) -> None:
    tokens = torch.ones(2, 2, 25, 25, dtype=torch.bool)
    tokens[place] = False
    batch, head, row, col = place
    name = f"batch {batch}, head {head}, block ({row // 10}, {col // 10}) is kept in part"
    with pytest.raises(ValueError, match=re.escape(name)):
        BlockMask.from_token_mask(tokens, (10, 10))


@pytest.mark.parametrize("tokens", [torch.ones(1, 1, 4, 4), torch.ones(4, 4, dtype=torch.bool)], ids=["dtype", "shape"])
def test_a_token_mask_of_another_dtype_or_shape_is_refused(tokens: Tensor) -> None:
    with pytest.raises(ValueError, match=re.escape(f"token mask: {tokens.dtype} {list(tokens.shape)}")):
        BlockMask.from_token_mask(tokens, (2, 2))


@pytest.mark.parametrize(
    ("offsets", "columns", "message"),
    [
        ([0, 1], [0], "row_offsets: allowed: 3 values from 0 to 1"),
        ([0, 1, 3], [0, 1], "row_offsets: allowed: 3 values from 0 to 2"),
        ([1, 1, 2], [0, 1], "row_offsets: allowed: 3 values from 0 to 2"),
        ([0, 3, 2], [0, 1], "row_offsets: row 1 has a negative length"),
        ([0, 1, 2], [0, 2], "key_blocks: 2; allowed: 0 to 1"),
        ([0, 1, 2], [-1, 1], "key_blocks: -1; allowed: 0 to 1"),
    ],
)
def test_csr_that_does_not_fit_is_refused(offsets: list[int], columns: list[int], message: str) -> None:
    arrays = torch.tensor(offsets), torch.tensor(columns)
    with pytest.raises(ValueError, match=re.escape(message)):
        BlockMask.from_csr(*arrays, (1, 1), (10, 10), 20, 20)


@pytest.mark.parametrize(
    ("blocks", "shape", "field"),
    [
        (torch.ones(1, 1, 2, 2), (10, 10), "blocks: dtype"),
        (torch.ones(1, 1, 2, 3, dtype=torch.bool), (10, 10), "blocks: shape"),
        (torch.ones(1, 1, 3, 2, dtype=torch.bool), (10, 10), "blocks: shape"),
        (torch.ones(1, 2, 2, dtype=torch.bool), (10, 10), "blocks: shape"),
        (torch.ones(1, 1, 2, 2, dtype=torch.bool), (0, 10), "block_shape"),
        (torch.ones(1, 1, 2, 2, dtype=torch.bool), (10, -1), "block_shape"),
    ],
)
def test_blocks_that_do_not_fit_are_refused_by_field(blocks: Tensor, shape: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        BlockMask(blocks, shape, 20, 20)


def test_a_partial_last_block_is_a_block_of_its_own() -> None:
    mask = read_sabi([[0, 4]], length=41)
    assert mask.token_mask()[0, 0, 0].nonzero().flatten().tolist() == [*range(10), 40]
