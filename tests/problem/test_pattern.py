"""The random block pattern, against the published generator written again from its description."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_attn.problem.frame import BLOCK_SHAPES, FrameWidths
from pytest_attn.problem.pattern import BlockPattern

TOO_LARGE = "the frame is larger than the grid of blocks"
TOO_MANY = "the frame keeps more blocks than the sparsity allows"
NO_BLOCK = "the sparsity leaves no block to keep"


def published(pattern: BlockPattern, seed: int) -> list[list[int]]:
    """The kept key blocks of each row, straight from the words of the published generator."""
    left, right, top, bottom = pattern.frame.as_tuple
    rows = math.ceil(pattern.query_length / pattern.block_shape[0])
    cols = math.ceil(pattern.key_length / pattern.block_shape[1])
    always = {col for col in range(cols) if col < left or col >= cols - right}
    dense = {row for row in range(rows) if row < top or row >= rows - bottom}
    free = sorted(set(range(cols)) - always)
    sparse = rows - len(dense)
    total = math.floor(rows * cols * (1 - pattern.sparsity))
    forced = len(always) * sparse + cols * len(dense)
    extra = math.ceil((total - forced) / sparse) if sparse else 0
    head = random.Random(seed)
    return [
        list(range(cols)) if row in dense else sorted(always | set(head.sample(free, min(extra, len(free)))))
        for row in range(rows)
    ]


@st.composite
def patterns(draw: st.DrawFn, **fields: Any) -> BlockPattern:
    """Grids of up to 12 x 12 blocks, last blocks partial or not, sparsity in any percent, frames of any width."""
    block_shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    width = st.one_of(st.just(0), st.integers(0, 3))
    usual: dict[str, Any] = {
        "query_length": draw(st.integers(1, 12 * block_shape[0])),
        "key_length": draw(st.integers(1, 12 * block_shape[1])),
        "block_shape": block_shape,
        "sparsity": draw(st.integers(0, 100)) / 100,
        "frame": FrameWidths(*draw(st.tuples(width, width, width, width))),
    }
    return BlockPattern(**(usual | fields))


@given(patterns(), st.integers(0, 5000))
@settings(max_examples=150, deadline=None)
def test_the_kept_blocks_are_those_of_the_published_generator(pattern: BlockPattern, seed: int) -> None:
    assume(pattern.unsatisfiable is None)
    assert [list(row) for row in pattern.kept(seed)] == published(pattern, seed)


@given(patterns(), st.integers(0, 5000))
@settings(max_examples=150, deadline=None)
def test_no_fewer_blocks_are_kept_than_the_floor_of_the_requested_share(pattern: BlockPattern, seed: int) -> None:
    assume(pattern.unsatisfiable is None)
    kept = sum(map(len, pattern.kept(seed)))
    assert kept >= math.floor(pattern.rows * pattern.cols * (1 - pattern.sparsity))


@given(patterns(), st.integers(0, 5000))
@settings(max_examples=150, deadline=None)
def test_the_real_sparsity_is_above_the_requested_by_less_than_one_block(pattern: BlockPattern, seed: int) -> None:
    assume(pattern.unsatisfiable is None)
    blocks = pattern.rows * pattern.cols
    left_out = blocks - sum(map(len, pattern.kept(seed)))
    # One part in 1e9 of slack, for 1 - 0.9 is not 0.1 in floating point.
    assert left_out < blocks * pattern.sparsity + 1 + 1e-9


@given(patterns(), st.integers(0, 5000))
@settings(max_examples=100, deadline=None)
def test_every_row_of_a_satisfiable_pattern_keeps_a_block(pattern: BlockPattern, seed: int) -> None:
    assume(pattern.unsatisfiable is None)
    assert all(pattern.kept(seed))


@pytest.mark.parametrize(
    ("length", "shape", "sparsity", "seed", "rows"),
    [
        (1024, (256, 128), 0.5, 1234, [(0, 5, 6, 7), (0, 5, 6, 7), (1, 2, 6, 7), (0, 2, 6, 7)]),
        (1024, (256, 128), 0.5, 1235, [(3, 4, 6, 7), (1, 2, 5, 6), (0, 1, 4, 6), (2, 3, 6, 7)]),
        (1000, (128, 256), 0.7, 1234, [(0, 3), (0, 3), (0, 2), (0, 3), (0, 2), (0, 3), (0, 1), (2, 3)]),
        (2048, (512, 512), 0.3, 1236, [(1, 2, 3), (1, 2, 3), (0, 1, 2), (0, 2, 3)]),
    ],
)
def test_the_draw_is_the_pinned_one(
    length: int, shape: tuple[int, int], sparsity: float, seed: int, rows: list[tuple[int, ...]]
) -> None:
    assert BlockPattern(length, length, shape, sparsity).kept(seed) == tuple(rows)


def test_the_draw_inside_a_frame_is_the_pinned_one() -> None:
    pattern = BlockPattern(2048, 2048, (256, 128), 0.4, FrameWidths.small((256, 128)))
    every = tuple(range(16))
    assert pattern.kept(1234) == (
        every,
        every,
        (0, 1, 3, 9, 14, 15),
        (0, 1, 2, 3, 11, 15),
        (0, 1, 2, 3, 12, 15),
        (0, 1, 3, 5, 7, 15),
        (0, 1, 2, 13, 14, 15),
        every,
    )


def test_one_generator_serves_all_rows_of_a_head_in_order() -> None:
    short = BlockPattern(400, 2000, (100, 100), 0.5)
    long = BlockPattern(600, 2000, (100, 100), 0.5)
    assert long.kept(7)[:4] == short.kept(7)


def test_rows_of_one_head_differ() -> None:
    assert len(set(BlockPattern(800, 2000, (100, 100), 0.5).kept(1234))) > 1


def test_another_seed_draws_other_blocks() -> None:
    pattern = BlockPattern(800, 2000, (100, 100), 0.5)
    assert pattern.kept(1234) != pattern.kept(1235)


def test_the_same_seed_draws_the_same_blocks_again() -> None:
    pattern = BlockPattern(800, 2000, (100, 100), 0.5)
    first = pattern.kept(1234)
    pattern.kept(1235)
    assert BlockPattern(800, 2000, (100, 100), 0.5).kept(1234) == first


def test_sparsity_zero_keeps_every_block() -> None:
    assert BlockPattern(300, 500, (100, 100), 0.0).kept(1234) == (tuple(range(5)),) * 3


def test_a_frame_that_covers_the_grid_keeps_every_block() -> None:
    pattern = BlockPattern(300, 500, (100, 100), 0.0, FrameWidths(top_rows=2, bottom_rows=1))
    assert pattern.kept(1234) == (tuple(range(5)),) * 3


def test_left_and_right_columns_that_overlap_are_counted_once() -> None:
    assert BlockPattern(300, 500, (100, 100), 0.0, FrameWidths(left_cols=4, right_cols=3)).forced == 15


def test_60_blocks_at_sparsity_nine_tenths_leave_five_as_in_the_published_float_arithmetic() -> None:
    assert BlockPattern(600, 1000, (100, 100), 0.9).budget == 5


@pytest.mark.parametrize(
    ("shape", "sparsity", "frame", "reason"),
    [
        ((4, 4), 0.5, FrameWidths(), None),
        ((4, 4), 0.0, FrameWidths(left_cols=5), TOO_LARGE),
        ((4, 4), 0.0, FrameWidths(right_cols=5), TOO_LARGE),
        ((4, 4), 0.0, FrameWidths(top_rows=5), TOO_LARGE),
        ((4, 4), 0.0, FrameWidths(bottom_rows=5), TOO_LARGE),
        ((4, 4), 0.0, FrameWidths(4, 4, 4, 4), None),
        ((4, 4), 0.5, FrameWidths(left_cols=1, right_cols=1), NO_BLOCK),
        ((4, 4), 0.6, FrameWidths(left_cols=1, right_cols=1), TOO_MANY),
        ((4, 4), 0.4, FrameWidths(left_cols=1, right_cols=1), None),
        ((4, 4), 0.5, FrameWidths(top_rows=1, bottom_rows=1), NO_BLOCK),
        ((4, 4), 0.95, FrameWidths(), NO_BLOCK),
        ((4, 4), 0.93, FrameWidths(), None),
        ((1, 1), 1.0, FrameWidths(), NO_BLOCK),
        ((2, 3), 0.0, FrameWidths(top_rows=2), None),
    ],
)
def test_a_pattern_says_why_it_cannot_exist(
    shape: tuple[int, int], sparsity: float, frame: FrameWidths, reason: str | None
) -> None:
    assert BlockPattern(shape[0] * 10, shape[1] * 10, (10, 10), sparsity, frame).unsatisfiable == reason


@given(patterns())
@settings(max_examples=150, deadline=None)
def test_a_pattern_is_satisfiable_exactly_where_the_published_rule_says_so(pattern: BlockPattern) -> None:
    left, right, top, bottom = pattern.frame.as_tuple
    rows, cols = pattern.rows, pattern.cols
    width, height = min(cols, left + right), min(rows, top + bottom)
    sparse = rows - height
    forced = width * sparse + cols * height
    budget = math.floor(rows * cols * (1 - pattern.sparsity))
    fits = left <= cols and right <= cols and top <= rows and bottom <= rows
    assert (pattern.unsatisfiable is None) == (fits and forced <= budget and (sparse == 0 or budget - forced >= 1))


@given(patterns(sparsity=1.0))
@settings(max_examples=20, deadline=None)
def test_drawing_an_unsatisfiable_pattern_raises_with_the_reason(pattern: BlockPattern) -> None:
    assert pattern.unsatisfiable is not None
    with pytest.raises(ValueError, match=pattern.unsatisfiable):
        pattern.kept(1234)


@pytest.mark.parametrize("sparsity", [-0.01, 1.01, math.nan, math.inf])
def test_a_sparsity_outside_zero_to_one_is_refused(sparsity: float) -> None:
    with pytest.raises(ValueError, match=r"^sparsity: "):
        BlockPattern(100, 100, (10, 10), sparsity)


@pytest.mark.parametrize("shape", [(0, 10), (10, 0), (-1, 10)])
def test_a_block_without_tokens_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"^block_shape: "):
        BlockPattern(100, 100, shape, 0.5)


@pytest.mark.parametrize("shape", BLOCK_SHAPES)
def test_the_small_frame_is_about_256_keys_left_and_384_queries_top(shape: tuple[int, int]) -> None:
    frame = FrameWidths.small(shape)
    left = {128: 2, 256: 1, 512: 1, 1024: 1}[shape[1]]
    top = {128: 3, 256: 2, 512: 1, 1024: 1}[shape[0]]
    assert frame.as_tuple == (left, 1, top, 1)


@pytest.mark.parametrize("shape", [(64, 128), (128, 64)])
def test_a_block_shape_without_a_published_frame_is_refused_by_name(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="{}x{}".format(*shape)):
        FrameWidths.small(shape)


@pytest.mark.parametrize("field", ["left_cols", "right_cols", "top_rows", "bottom_rows"])
@pytest.mark.parametrize("value", [-1, 1.5])
def test_a_frame_width_that_is_no_count_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        FrameWidths(**{field: value})
