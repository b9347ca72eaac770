"""Where failures are: only what is true of every judged cell with a value is said of it."""

from __future__ import annotations

from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.records.case_fields import fields_of
from pytest_attn.records.record import Record
from pytest_attn.report.red_axes import red_axes


def cells(outcome: Any, lengths: range, **fields: Any) -> list[Record]:
    cases = [Case(64, length, **fields) for length in lengths]
    return [Record(case=case.id, kernel="k", outcome=outcome, fields=fields_of(case)) for case in cases]


def test_a_value_of_which_all_are_red_or_green_is_named() -> None:
    red = cells("failed", range(200, 206), causal="bottom-right")
    assert red_axes([*red, *cells("passed", range(200, 206))], red) == "causal: all 6 red, dense: all 6 green"


def test_a_value_with_one_cell_of_the_other_colour_is_not() -> None:
    red = cells("failed", range(200, 206), causal="bottom-right")
    green = [*cells("passed", range(200, 206)), *cells("passed", range(210, 211), causal="bottom-right")]
    assert "causal" not in red_axes([*red, *green], red)


def test_sizes_are_said_up_to_the_largest_that_is_green() -> None:
    red = cells("failed", range(129, 140))
    assert red_axes([*cells("passed", range(100, 129)), *red], red) == "up to 128 keys: all 29 green"


def test_sizes_that_are_green_again_are_said_too() -> None:
    red = cells("failed", range(129, 140))
    said = red_axes([*cells("passed", range(100, 129)), *red, *cells("passed", range(300, 310))], red)
    assert said == "up to 128 keys: all 29 green, from 300 keys on: all 10 green"


def test_a_cell_that_is_red_for_another_cause_is_no_green_one() -> None:
    red, other = cells("failed", range(200, 206), causal="bottom-right"), cells("failed", range(200, 206))
    green = cells("passed", range(200, 206), layout="bsnd")
    assert red_axes([*red, *other, *green], red).startswith("causal: all 6 red, dense: all 6 green")


def test_where_all_is_red_no_axis_is_named() -> None:
    red = cells("failed", range(200, 206))
    assert red_axes(red, red) == "every cell is red, or has another cause"


def test_three_cells_are_too_few_to_say_anything_beside_hundreds() -> None:
    red = [*cells("failed", range(200, 260), dtype="float16"), *cells("failed", range(300, 303), dtype="float32")]
    assert "float32" not in red_axes([*red, *cells("passed", range(200, 260), dtype="float16", layout="bsnd")], red)
