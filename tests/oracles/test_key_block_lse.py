"""The LSE of a block mask, merged from the table of its key blocks, is the streamed one."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_attn.oracles.key_block_lse import LEAST_TOTAL, key_block_table, merge
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem
from tests.oracles.tiles import tiles

DENSE = Problem(2, 4, 2, 50, 500, 8, 8, torch.float32, 0.4, ask="lse")
SHAPES = [(128, 128), (16, 256), (7, 384), (1, 1024)]


def masked(dense: Problem, shape: tuple[int, int], share: float, seed: int) -> BlockSparse:
    """A block mask that keeps each block with probability `share`; rows may stay without keys."""
    grid = (-(-dense.query_length // shape[0]), -(-dense.key_length // shape[1]))
    blocks = torch.rand((dense.batch, dense.query_heads, *grid), generator=torch.Generator().manual_seed(seed)) < share
    return BlockSparse(BlockMask(blocks, shape, dense.query_length, dense.key_length))


def table_and_inputs(dense: Problem) -> tuple[Tensor, Inputs]:
    inputs = Inputs.draw(dense, 0)
    return key_block_table(dense, inputs), inputs


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to 40 queries of grouped heads over 300 to 700 keys, the last key block partial or not."""
    length = draw(st.one_of(st.sampled_from([384, 512, 513, 639, 640]), st.integers(300, 700)))
    wanted = draw(st.sampled_from([torch.bfloat16, torch.float16, torch.float32]))
    return replace(
        DENSE, query_length=draw(st.integers(1, 40)), key_length=length, dtype=wanted, scale=draw(st.floats(-1, 1))
    )


@given(problems(), st.sampled_from(SHAPES), st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.sampled_from([1024, 256, 128]))
@settings(max_examples=40, deadline=None)
def test_the_merged_lse_is_the_streamed_one(dense: Problem, shape: tuple[int, int], share: float, tile: int) -> None:
    mask = masked(dense, shape, share, 7)
    with tiles(16, tile):
        table, inputs = table_and_inputs(dense)
    merged, streamed = merge(table, mask.block_mask), stream(replace(dense, mask=mask), inputs)
    close = 1e-11 if dense.dtype == torch.float32 else 1e-5
    torch.testing.assert_close(merged.lse, streamed.lse, atol=close, rtol=close)


@given(problems(), st.sampled_from(SHAPES), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
@settings(max_examples=20, deadline=None)
def test_merged_moments_are_upper_bounds(dense: Problem, shape: tuple[int, int], share: float) -> None:
    mask = masked(dense, shape, share, 7)
    table, inputs = table_and_inputs(dense)
    bounds = merge(table, mask.block_mask).moments
    exact = stream(replace(dense, mask=mask, ask="both"), inputs).moments
    assert bounds is not None
    assert exact is not None
    assert bool((bounds.weight_square * 1.0001 >= exact.weight_square).all())
    assert bool((bounds.peak * 1.0001 >= exact.peak).all())


def test_kept_blocks_that_weigh_nothing_beside_dropped_ones_merge_exactly() -> None:
    dense = replace(DENSE, scale=50.0)
    mask = masked(dense, (16, 256), 0.5, 7)
    table, inputs = table_and_inputs(dense)
    assert bool((table.weights < LEAST_TOTAL).any()), "the logits are too small to need the other way"
    merged, streamed = merge(table, mask.block_mask), stream(replace(dense, mask=mask), inputs)
    torch.testing.assert_close(merged.lse, streamed.lse, atol=1e-9, rtol=1e-11)


def test_a_row_without_keys_merges_to_minus_infinity_and_no_moments() -> None:
    table, _ = table_and_inputs(DENSE)
    merged = merge(table, masked(DENSE, (128, 128), 0.0, 0).block_mask)
    assert merged.moments is not None
    assert bool(merged.empty_rows.all())
    assert not merged.moments.peak.any()
    assert not merged.moments.weight_square.any()


def test_merging_leaves_the_table_alone() -> None:
    table, _ = table_and_inputs(DENSE)
    before = [tensor.clone() for tensor in table]
    merge(table, masked(DENSE, (16, 256), 0.7, 0).block_mask)
    assert all(torch.equal(now, was) for now, was in zip(table, before, strict=True))


def test_the_table_has_a_column_for_the_partial_last_block() -> None:
    assert table_and_inputs(DENSE)[0].lse.shape == (2, 4, 50, 4)


def test_a_column_of_the_table_is_the_lse_of_its_keys() -> None:
    table, inputs = table_and_inputs(DENSE)
    key = inputs.key.double().repeat_interleave(2, dim=1)
    scores = inputs.query.double() @ key.mT * DENSE.scale
    for column, block in enumerate(scores.split(128, dim=3)):
        torch.testing.assert_close(table.lse[..., column], block.logsumexp(dim=3), atol=1e-11, rtol=1e-11)
