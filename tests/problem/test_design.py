"""Designs: cells that are drawn of axes, rows and what stands in turn."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Covered, Design, Part
from pytest_attn.problem.turns import InTurn

AXES = {"keys": (64, 65, 127), "dtype": ("float16", "float32"), "dim": (64, 128), "causal": (None, "bottom-right")}


def build(keys: int, dtype: str, dim: int, causal: Any = None, batch: int = 1) -> Case | None:
    return Case(64, keys, head_dim=dim, dtype=dtype, causal=causal, batch=batch)


class OnlyDim:
    """Claims one head dimension."""

    sizes: dict[str, tuple[int, ...]] = {}  # noqa: RUF012

    def __init__(self, dim: int) -> None:
        self._dim = dim

    def __call__(self, case: Case) -> int:
        return int(case.head_dim != self._dim)


def test_all_pairs_have_a_case() -> None:
    cases = Design(AXES, build).cases()
    assert {(case.key_length, case.dtype) for case in cases} == {*product(AXES["keys"], AXES["dtype"])}
    assert {(case.head_dim, case.causal) for case in cases} == {*product(AXES["dim"], AXES["causal"])}


def test_only_what_is_claimed_has_cases_and_all_of_it() -> None:
    cases = Design(AXES, build).cases(OnlyDim(128))
    assert {case.head_dim for case in cases} == {128}
    assert {(case.key_length, case.dtype) for case in cases} == {*product(AXES["keys"], AXES["dtype"])}


def test_values_in_turn_count_as_one_and_stand_equally_often() -> None:
    axes = {**AXES, "keys": (InTurn(64, 128, 192), InTurn(65, 129))}
    cases = Design(axes, build, (Covered(3),)).cases()
    counts = Counter(case.key_length for case in cases)
    assert {*counts} == {64, 128, 192, 65, 129}
    assert max(counts[keys] for keys in (64, 128, 192)) - min(counts[keys] for keys in (64, 128, 192)) <= 1


def test_of_values_in_turn_those_that_are_not_claimed_never_stand() -> None:
    axes = {**AXES, "dim": (InTurn(64, 96, 128),)}
    assert {case.head_dim for case in Design(axes, build).cases(OnlyDim(96))} == {96}


def test_every_row_is_completed_and_nothing_else_is_drawn() -> None:
    rows = tuple({"keys": keys, "batch": 2} for keys in (500, 501))
    cases = Design(AXES, build, covers=(), rows=rows).cases()
    assert [(case.key_length, case.batch) for case in cases] == [(500, 2), (501, 2)]


def test_what_a_row_asks_for_and_a_kernel_does_not_take_is_left_to_other_values() -> None:
    cases = Design(AXES, build, covers=(), rows=({"keys": 500, "dim": 64},)).cases(OnlyDim(128))
    assert [(case.key_length, case.head_dim) for case in cases] == [(500, 128)]


def test_other_values_stand_where_a_kernel_takes_none_of_an_axis() -> None:
    few = Design({**AXES, "dim": (64,)}, build, covers=(), rows=({"keys": 500},), instead={"dim": (64, 96)})
    assert [case.head_dim for case in few.cases(OnlyDim(96))] == [96]
    assert [case.head_dim for case in few.cases()] == [64]


def test_there_are_as_many_cases_as_are_asked_for() -> None:
    axes = {**AXES, "keys": tuple(range(64, 90))}
    assert len(Design(axes, build, fewest=80).cases()) >= 70


def test_a_part_has_the_cases_that_it_keeps() -> None:
    whole = Design(AXES, build)
    dense = Part(whole, lambda case: case.causal is None).cases()
    assert dense == tuple(case for case in whole.cases() if case.causal is None)


def test_what_stands_beside_need_not_be_covered_again() -> None:
    first = Design(AXES, build, (Covered(3),))
    axes = {**AXES, "batch": (1, 2)}
    assert len(Design(axes, build, (Covered(3),), beside=first).cases()) < len(
        Design(axes, build, (Covered(3),)).cases()
    )


def test_an_axis_without_a_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"^design: dim without a value; allowed: one value of each axis, or more$"):
        Design({**AXES, "dim": ()}, build).cases()
