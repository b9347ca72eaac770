"""Keys that are lost, leak or are none: which ones, in which rows."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from failing import diagnosis_of, phrase_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

MANY = "b1-h2-s70x640-d64-float32-both-exact"


def losing(block: int, rows: slice = slice(None), head: int | None = None) -> type[TileLoop]:
    """A loop that does not attend to the keys of one block of 64, in some rows of one head or of all."""

    class Losing(TileLoop):
        def mask(self, problem: Problem, scores: Tensor, lane: Lane, at: range, keys: range) -> Tensor:
            scores = super().mask(problem, scores, lane, at, keys)
            if keys.start == 64 * block:
                lost = torch.zeros(scores.shape, dtype=torch.bool)
                within = torch.zeros(problem.query_length, dtype=torch.bool)
                within[rows] = True
                lost[:, slice(None) if head is None else head, within[at.start : at.stop]] = True
                scores = scores.masked_fill(lost, -torch.inf)
            return scores

    return Losing


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 9))
def test_the_lost_block_is_named_and_no_other(block: int) -> None:
    found = diagnosis_of(losing(block), MANY)
    assert found is not None
    assert found.kind == "lost keys"
    keys = f"keys {64 * block}-{64 * block + 63}"
    assert found.phrase.startswith(f"{keys} (key blocks {block}-{block} of 64) in all rows")


def test_the_rows_that_lose_keys_are_named() -> None:
    assert " in rows 64-69 are not attended to" in phrase_of(losing(3, rows=slice(64, 70)), MANY)


def test_the_head_that_loses_keys_is_named() -> None:
    assert phrase_of(losing(3, head=1), MANY).startswith("head 1: keys 192-255")


def test_a_block_lost_among_many_keys_is_named_by_the_values_of_its_run() -> None:
    assert "keys 1280-1343" in phrase_of(losing(20), "b1-h1-s16x8192-d128-float32-out-exact")


def test_a_diagonal_says_by_how_many_keys_it_is_off() -> None:
    class TwoShort(TileLoop):
        def diagonal(self, problem: Problem) -> int:
            return super().diagonal(problem) - 2

    assert phrase_of(TwoShort, "b1-h1-s70x90-d32-float32-causal-both-exact") == (
        "the causal diagonal is 2 keys too short"
    )


def test_the_other_alignment_of_the_diagonal_is_named() -> None:
    found = phrase_of(
        find_mutants(["top-left-for-bottom-right"])[0].kernel, "b1-h1-s70x90-d32-float32-causal-out-exact"
    )
    assert found.startswith("the causal diagonal starts at the first key (top-left)")


def test_a_diagonal_that_is_one_off_and_top_left_are_both_named_where_they_are_one() -> None:
    found = phrase_of(find_mutants(["diagonal-one-short"])[0].kernel, "b1-h1-s70x71-d32-float32-causal-out-exact")
    top_left = "the causal diagonal starts at the first key (top-left), expected to end at the last (bottom-right, +1)"
    assert found == f"{top_left}, or the causal diagonal is 1 key too short"


def test_padding_that_takes_weight_is_counted() -> None:
    class Unmasked(TileLoop):
        def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
            return torch.zeros_like(key, dtype=torch.bool)

    found = phrase_of(Unmasked, "b1-h1-s20x100-d32-float32-out-exact")
    assert found.startswith("28 positions beyond the last key, 99, take weight")
    assert found.endswith("add up to 0.781")


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("block-mask-inverted", "the block mask is inverted"),
        ("block-mask-ignored", "the block mask is ignored"),
        ("blocks-one-too-far", "block indices are 1 too far"),
        ("list-of-previous-row", "query blocks take the block list of the query block before them"),
        ("list-of-first-head", "batch 0, head 1 takes the block list of batch 0, head 0"),
        ("block-id-in-four-bits", "block indices have 4 bits: block 16 is read as block 0"),
    ],
)
def test_a_systematic_mistake_in_block_lists_is_named(name: str, phrase: str) -> None:
    case = "b1-h2-s70x640-d32-float32-sp50pct-bs16x32-both-exact"
    assert phrase_of(find_mutants([name])[0].kernel, case).startswith(phrase)


class Halves(TileLoop):
    """Loses every other split, however many keys there are."""

    split_count: ClassVar[int] = 4

    def splits(self, tiles: list[range]) -> list[list[range]]:
        return super().splits(tiles)[::2]


def test_a_lost_split_is_told_from_a_lost_tile() -> None:
    found = diagnosis_of(Halves, MANY)
    assert found is not None
    assert found.kind == "split lost"
    assert "50% of many" in found.phrase
