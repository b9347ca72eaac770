"""Masks: the pairs that they allow, and the spans that cover them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.masks import (
    BlockSparse,
    Both,
    Causal,
    Dense,
    Lengths,
    Mask,
    Pairs,
    Ragged,
    Split,
    Window,
    intersection,
    parts,
    seeing_queries,
    within,
)

LENGTHS = [(1, 1), (1, 5), (5, 1), (4, 4), (3, 7), (7, 3), (12, 13), (13, 12)]


def truth(mask: Mask, lengths: Lengths, batch: int, head: int) -> Tensor:
    """bool [Sq, Skv], pair by pair, from the words of each mask."""

    if isinstance(mask, Both):
        return truth(mask.first, lengths, batch, head) & truth(mask.second, lengths, batch, head)
    if isinstance(mask, Ragged):
        own = mask.sequences[batch]
        found = torch.zeros(lengths.query, lengths.key, dtype=torch.bool)
        found[: own.query, : own.key] = truth(mask.inner, own, batch, head)
        return found

    def attends(i: int, j: int) -> bool:
        if isinstance(mask, Window):
            behind = (lengths.query - 1 - i) - (lengths.key - 1 - j)
            return (mask.right is None or behind <= mask.right) and (mask.left is None or -behind <= mask.left)
        if isinstance(mask, Split):
            tiles = math.ceil(lengths.key / mask.tile)
            return j // mask.tile // math.ceil(tiles / mask.count) == mask.number
        if isinstance(mask, Pairs):
            return j % 3 != i % 2
        if isinstance(mask, BlockSparse):
            rows, cols = mask.block_mask.block_shape
            return bool(mask.block_mask.blocks[batch, head, i // rows, j // cols])
        if isinstance(mask, Causal):
            if mask.align == "top-left":
                return j <= i
            # The last query sees the last key.
            return (lengths.key - 1) - j >= (lengths.query - 1) - i
        return True

    pairs = [[attends(i, j) for j in range(lengths.key)] for i in range(lengths.query)]
    return torch.tensor(pairs, dtype=torch.bool).view(lengths.query, lengths.key)


@st.composite
def masks(draw: st.DrawFn) -> tuple[Mask, Lengths]:
    """Any mask, or two at once, over up to 20 x 20 tokens, 2 batches and 2 heads, some of which padding may fill."""
    lengths = Lengths(draw(st.integers(1, 20)), draw(st.integers(1, 20)))
    mask = draw(single(lengths))
    if draw(st.booleans()):
        mask = Both(mask, draw(single(lengths)))
    if draw(st.booleans()):
        size = st.builds(Lengths, st.integers(0, lengths.query), st.integers(0, lengths.key))
        mask = Ragged(mask, (draw(size), draw(size)))
    return mask, lengths


@st.composite
def single(draw: st.DrawFn, lengths: Lengths) -> Mask:
    """A mask that is not made of others."""
    kind = draw(st.sampled_from(["dense", "bottom-right", "top-left", "blocks", "window", "pairs", "split"]))
    if kind == "dense":
        return Dense()
    if kind == "window":
        side = st.one_of(st.none(), st.integers(0, 12))
        return Window(draw(side), draw(side))
    if kind == "split":
        count = draw(st.integers(1, 5))
        return Split(draw(st.integers(0, count - 1)), count, draw(st.integers(1, 6)))
    if kind == "pairs":
        return Pairs("every third", lambda i, j, lengths: j % 3 != i % 2)
    if kind != "blocks":
        return Causal(kind)
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    size = (2, 2, -(-lengths.query // shape[0]), -(-lengths.key // shape[1]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))
    blocks = torch.rand(size, generator=generator) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    return BlockSparse(BlockMask(blocks, shape, lengths.query, lengths.key))


@st.composite
def places(draw: st.DrawFn) -> tuple[Mask, Lengths, int, int, range]:
    """A mask, a head, and a run of rows that crosses no step of the mask."""
    mask, lengths = draw(masks())
    step = mask.row_step(lengths)
    first = draw(st.integers(0, lengths.query - 1))
    end = min(lengths.query, (first // step + 1) * step)
    rows = range(first, draw(st.integers(first + 1, end)))
    return mask, lengths, draw(st.integers(0, 1)), draw(st.integers(0, 1)), rows


@given(masks(), st.integers(0, 1), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_allowed_pairs_are_the_true_ones(made: tuple[Mask, Lengths], batch: int, head: int) -> None:
    mask, lengths = made
    allowed = mask.allowed(lengths, batch, head, range(lengths.query), range(lengths.key))
    assert torch.equal(allowed, truth(mask, lengths, batch, head))


@given(masks(), st.integers(0, 1), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_empty_rows_are_those_without_an_allowed_pair(made: tuple[Mask, Lengths], batch: int, head: int) -> None:
    mask, lengths = made
    empty = mask.empty_rows(lengths).expand(2, 2, lengths.query)[batch, head]
    assert torch.equal(empty, ~truth(mask, lengths, batch, head).any(dim=1))


@given(masks(), st.integers(0, 1), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_seeing_queries_are_those_of_the_allowed_pairs(made: tuple[Mask, Lengths], batch: int, head: int) -> None:
    mask, lengths = made
    counts = seeing_queries(mask, lengths, 2, 2)[batch, head]
    assert torch.equal(counts, truth(mask, lengths, batch, head).sum(dim=0))


@given(places(), st.data())
@settings(max_examples=60, deadline=None)
def test_the_allowed_pairs_of_a_tile_are_those_of_the_whole(
    place: tuple[Mask, Lengths, int, int, range], data: st.DataObject
) -> None:
    mask, lengths, batch, head, rows = place
    first = data.draw(st.integers(0, lengths.key - 1))
    keys = range(first, data.draw(st.integers(first + 1, lengths.key)))
    expected = truth(mask, lengths, batch, head)[rows.start : rows.stop, keys.start : keys.stop]
    assert torch.equal(mask.allowed(lengths, batch, head, rows, keys), expected)


@given(places())
@settings(max_examples=100, deadline=None)
def test_full_spans_hold_allowed_pairs_only(place: tuple[Mask, Lengths, int, int, range]) -> None:
    mask, lengths, batch, head, rows = place
    allowed = truth(mask, lengths, batch, head)[rows.start : rows.stop]
    spans = mask.spans(lengths, batch, head, rows)
    assert all(bool(allowed[:, start:stop].all()) for start, stop, full in spans if full)


@given(places())
@settings(max_examples=100, deadline=None)
def test_no_allowed_pair_lies_outside_the_spans(place: tuple[Mask, Lengths, int, int, range]) -> None:
    mask, lengths, batch, head, rows = place
    allowed = truth(mask, lengths, batch, head)[rows.start : rows.stop].clone()
    for start, stop, _ in mask.spans(lengths, batch, head, rows):
        allowed[:, start:stop] = False
    assert not allowed.any()


@given(places())
@settings(max_examples=60, deadline=None)
def test_no_span_is_without_an_allowed_pair(place: tuple[Mask, Lengths, int, int, range]) -> None:
    mask, lengths, batch, head, rows = place
    # Two masks may leave different keys of a span.
    assume(not isinstance(mask, Both | Ragged))
    allowed = truth(mask, lengths, batch, head)[rows.start : rows.stop]
    assert all(bool(allowed[:, start:stop].any()) for start, stop, _ in mask.spans(lengths, batch, head, rows))


@given(places())
@settings(max_examples=60, deadline=None)
def test_spans_ascend_within_the_keys_without_overlap(place: tuple[Mask, Lengths, int, int, range]) -> None:
    mask, lengths, batch, head, rows = place
    ends = [0]
    for start, stop, _ in mask.spans(lengths, batch, head, rows):
        assert ends[-1] <= start < stop
        ends.append(stop)
    assert ends[-1] <= lengths.key


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_bottom_right_lets_the_last_query_see_every_key(queries: int, keys: int) -> None:
    allowed = Causal("bottom-right").allowed(Lengths(queries, keys), 0, 0, range(queries), range(keys))
    assert allowed[-1].all()


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_bottom_right_leaves_the_surplus_queries_without_keys(queries: int, keys: int) -> None:
    allowed = Causal("bottom-right").allowed(Lengths(queries, keys), 0, 0, range(queries), range(keys))
    assert int((~allowed.any(dim=1)).sum()) == max(queries - keys, 0)


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_top_left_is_the_lower_triangle_from_the_first_key(queries: int, keys: int) -> None:
    allowed = Causal("top-left").allowed(Lengths(queries, keys), 0, 0, range(queries), range(keys))
    assert torch.equal(allowed, torch.ones(queries, keys).tril().bool())


def test_the_alignments_are_one_where_lengths_are_equal() -> None:
    square = (Lengths(9, 9), 0, 0, range(9), range(9))
    assert torch.equal(Causal("bottom-right").allowed(*square), Causal("top-left").allowed(*square))


def test_causal_is_bottom_right_unless_said_otherwise() -> None:
    assert Causal() == Causal("bottom-right")


@pytest.mark.parametrize(("align", "seen"), [("bottom-right", 10), ("top-left", 6)])
def test_keys_that_all_rows_of_a_causal_tile_see_are_one_full_span(align: str, seen: int) -> None:
    spans = Causal(align).spans(Lengths(12, 16), 0, 0, range(5, 8))
    assert spans == [(0, seen, True), (seen, seen + 2, False)]


def blocks_of(rows: list[list[int]], *, shape: tuple[int, int] = (10, 10), length: int = 20) -> BlockSparse:
    """A block-sparse mask of one head over 20 queries, from the kept blocks of its rows."""
    return BlockSparse(BlockMask.from_kept_rows([rows], 1, shape, 20, length))


def test_neighbouring_kept_blocks_make_one_span() -> None:
    mask = blocks_of([[0, 1, 3], []], length=35)
    assert mask.spans(Lengths(20, 35), 0, 0, range(10)) == [(0, 20, True), (30, 35, True)]


def test_a_row_without_kept_blocks_has_no_span() -> None:
    assert blocks_of([[0], []]).spans(Lengths(20, 20), 0, 0, range(10, 20)) == []


@pytest.mark.parametrize(("rows", "keeps_all"), [([[0, 1], [0, 1]], True), ([[0, 1], [0]], False), ([[], []], False)])
def test_a_mask_knows_whether_it_keeps_every_block(rows: list[list[int]], keeps_all: bool) -> None:
    assert blocks_of(rows).keeps_all == keeps_all


def test_equal_block_masks_have_equal_keys() -> None:
    assert blocks_of([[0, 1], [1]]).key == blocks_of([[0, 1], [1]]).key


def test_different_masks_have_different_keys() -> None:
    several: list[Mask] = [
        Dense(),
        Causal("bottom-right"),
        Causal("top-left"),
        blocks_of([[0, 1], [1]]),
        blocks_of([[0, 1], [0]]),
        blocks_of([[0, 1], [1]], shape=(10, 12)),
        blocks_of([[0], [1], [0], [1]], shape=(5, 10)),
        Window(3, 0),
        Window(3, None),
        Window(None, 0),
        Both(Window(3, 0), Causal()),
        Both(Causal("top-left"), Window(3, 0)),
        Pairs("every third", lambda i, j, lengths: j % 3 == i % 3),
        Ragged(Dense(), (Lengths(3, 4),)),
        Ragged(Dense(), (Lengths(3, 4), Lengths(3, 4))),
        Ragged(Causal(), (Lengths(3, 4),)),
    ]
    assert len({mask.key for mask in several}) == len(several)


def test_the_intersection_of_dense_masks_and_another_is_the_other() -> None:
    assert intersection() == Dense()
    assert intersection(Dense(), Causal(), Dense()) == Causal()
    assert intersection(Causal(), Window(3, 0)) == Both(Causal(), Window(3, 0))


def test_a_mask_names_the_masks_that_it_is_made_of() -> None:
    mask = Ragged(Both(Both(Causal(), Window(3, 0)), Window(None, 2)), (Lengths(4, 4),))
    assert parts(mask) == (Causal(), Window(3, 0), Window(None, 2))
    assert parts(Dense()) == (Dense(),)


def test_a_window_ends_at_the_last_key_of_the_last_query() -> None:
    allowed = Window(2, 0).allowed(Lengths(3, 6), 0, 0, range(3), range(6))
    assert [row.nonzero().flatten().tolist() for row in allowed] == [[1, 2, 3], [2, 3, 4], [3, 4, 5]]


def test_a_causal_mask_of_a_padded_batch_ends_at_the_last_key_of_each() -> None:
    mask = Ragged(Causal(), (Lengths(2, 5), Lengths(2, 3), Lengths(2, 0)))
    lasts = [mask.allowed(Lengths(2, 5), batch, 0, range(2), range(5)).sum(dim=1).tolist() for batch in range(3)]
    assert lasts == [[4, 5], [2, 3], [0, 0]]


@pytest.mark.parametrize("tile", [1, 4, 64])
@pytest.mark.parametrize("count", [1, 3, 16])
@pytest.mark.parametrize("keys", [0, 1, 13, 64, 129])
def test_every_key_is_in_one_split(keys: int, count: int, tile: int) -> None:
    splits = (Split(number, count, tile).keys(Lengths(1, keys)) for number in range(count))
    assert [key for own in splits for key in own] == list(range(keys))


def test_the_splits_of_a_padded_batch_are_those_of_each_sequence() -> None:
    ragged = Ragged(Causal("bottom-right"), (Lengths(1, 9), Lengths(1, 4)))
    allowed = [
        within(ragged, Split(1, 3, 2)).allowed(Lengths(1, 9), batch, 0, range(1), range(9))[0] for batch in range(2)
    ]
    assert [each.nonzero().flatten().tolist() for each in allowed] == [[4, 5, 6, 7], [2, 3]]
