"""Covering arrays: what rows have, how often, and what they never have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_attn.problem.covering import CoveringArray, Goal
from pytest_attn.problem.feasible import Row

SIZES = (5, 4, 6, 3, 2, 3)


def free(row: Row) -> int:
    return 0


def constrained(row: Row) -> int:
    """Value 3 of the first axis only beside the first two of the second; the last two values of the third never."""
    return (row[0] == 3 and row[1] > 1) + (row[2] > 3)


def drawn(
    misses: Callable[[Row], int] = free,
    strength: Literal[2, 3] = 2,
    share: float = 1.0,
    sizes: Sequence[int] = SIZES,
) -> list[Row]:
    array = CoveringArray(sizes, misses, strength)
    array.cover(Goal(strength, share))
    return array.rows


def tuples(rows: Sequence[Row], strength: int) -> set[tuple[tuple[int, int], ...]]:
    """Every few values, by axis, that some row has."""
    return {some for row in rows for some in combinations(enumerate(row), strength)}


def allowed(misses: Callable[[Row], int], strength: int) -> set[tuple[tuple[int, int], ...]]:
    """Those of all rows that are allowed."""
    return tuples([row for row in product(*map(range, SIZES)) if not misses(row)], strength)


@pytest.mark.parametrize("misses", [free, constrained])
@pytest.mark.parametrize("strength", [2, 3])
def test_all_that_allowed_rows_can_have_occurs(misses: Callable[[Row], int], strength: Literal[2, 3]) -> None:
    assert tuples(drawn(misses, strength), strength) == allowed(misses, strength)


def test_no_row_is_one_that_is_not_allowed() -> None:
    assert not any(constrained(row) for row in drawn(constrained, 3))


def test_rows_are_few() -> None:
    assert len(drawn()) <= 1.5 * 6 * 5
    assert len(drawn(strength=3)) <= 1.7 * 6 * 5 * 4


def test_a_share_of_the_triples_takes_fewer_rows() -> None:
    rows = drawn(strength=3, share=0.9)
    assert len(rows) < 0.8 * len(drawn(strength=3))
    assert len(tuples(rows, 3)) >= 0.9 * len(allowed(free, 3))


def test_the_values_of_an_axis_stand_equally_often() -> None:
    rows = drawn(strength=3)
    for axis, size in enumerate(SIZES):
        counts = Counter(row[axis] for row in rows)
        assert min(counts.values()) >= 0.9 * len(rows) / size


def test_the_same_rows_are_drawn_each_time() -> None:
    assert drawn(constrained, 3) == drawn(constrained, 3)


def test_a_value_that_only_stands_beside_two_others_is_found() -> None:
    def misses(row: Row) -> int:
        return int(row[0] == 4 and not (row[1] == 3 and row[2] == 5)) * 1000

    rows = [row for row in drawn(misses) if row[0] == 4]
    assert rows
    assert {row[1:3] for row in rows} == {(3, 5)}


def test_one_row_of_a_thousand_is_found() -> None:
    """As of a kernel that claims one value of each axis: what a row misses leads there."""
    wanted = (4, 2, 5, 1, 0, 2)
    assert drawn(lambda row: sum(value != own for value, own in zip(row, wanted, strict=True))) == [wanted]


def test_nothing_is_drawn_where_nothing_is_allowed() -> None:
    array = CoveringArray(SIZES, lambda row: 1)
    array.cover(Goal(2))
    assert array.rows == []
    assert not array.complete({0: 1})


def test_an_axis_without_values_leaves_no_rows() -> None:
    assert drawn(sizes=(3, 0, 2)) == []


def test_a_row_that_is_asked_for_has_its_values() -> None:
    array = CoveringArray(SIZES, constrained)
    assert array.complete({0: 3, 4: 1})
    assert (array.rows[0][0], array.rows[0][4]) == (3, 1)
    assert array.rows[0][1] <= 1
    assert not array.complete({0: 3, 1: 2})


def test_what_stands_elsewhere_is_not_covered_again() -> None:
    array = CoveringArray(SIZES, free)
    for row in drawn(sizes=SIZES[:5]):
        array.take(dict(enumerate(row)))
    array.cover(Goal(2))
    assert len(array.rows) < 0.7 * len(drawn())
    assert {(row[2], row[5]) for row in array.rows} == {*product(range(6), range(3))}


def test_values_that_are_not_offered_stand_only_where_they_are_asked_for() -> None:
    offered = [[value < size - 1 for value in range(size)] for size in SIZES]
    array = CoveringArray(SIZES, free, 2, offered)
    assert array.complete({0: 4})
    array.cover(Goal(2))
    assert [row[0] for row in array.rows].count(4) == 1
    assert all(value < size - 1 for row in array.rows for value, size in zip(row[1:], SIZES[1:], strict=True))


@settings(max_examples=25, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 5)), max_size=80))
def test_whatever_triples_are_forbidden_every_pair_that_is_left_occurs(forbidden: set[tuple[int, int, int]]) -> None:
    def misses(row: Row) -> int:
        return int(row[:3] in forbidden)

    rows = drawn(misses)
    assert not any(misses(row) for row in rows)
    assert tuples(rows, 2) == allowed(misses, 2)
