"""Cells whose further axes are balanced."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweeps.spread import case_of, spread
from pytest_attn.problem.variants import NumSplits

FIXED: dict[str, Any] = {"dims": (16, 16), "heads": (2, 1)}
ROWS = [{"lengths": (1, keys)} for keys in range(1, 37)]
AXES = {"dtype": ("bfloat16", "float16", "float32"), "ask": ("both", "out"), "batch": (1, 2)}


def build(**fields: Any) -> Case | None:
    return case_of(**FIXED | fields)


def test_every_row_is_a_case_and_every_value_stands_as_often_as_another() -> None:
    cases = spread(ROWS, AXES, build)
    assert [case.key_length for case in cases] == [row["lengths"][1] for row in ROWS]
    for axis, values in AXES.items():
        assert Counter(getattr(case, axis) for case in cases) == dict.fromkeys(values, 36 // len(values))


def test_every_two_values_stand_together_about_as_often_as_others() -> None:
    counts = Counter((case.dtype, case.ask, case.batch) for case in spread(ROWS, AXES, build))
    assert set(counts) == set(product(*AXES.values()))
    assert max(counts.values()) <= 2 * min(counts.values())


def test_a_value_that_a_row_has_is_kept() -> None:
    cases = spread([{**row, "dtype": "float16"} for row in ROWS], AXES, build)
    assert {case.dtype for case in cases} == {"float16"}


def test_a_value_that_makes_no_case_is_passed_over() -> None:
    cases = spread([{**row, "variants": (NumSplits(2),)} for row in ROWS], AXES, build)
    assert Counter(case.ask for case in cases) == {"both": len(ROWS)}


def test_a_row_that_nothing_completes_is_left_out() -> None:
    never = {"lengths": (1, 8), "variants": (NumSplits(2), NumSplits(3))}
    assert len(spread([*ROWS, never], AXES, build)) == len(ROWS)


def test_no_case_stands_twice() -> None:
    cases = spread([{"lengths": (1, 8)}] * 20, AXES, build)
    assert len(cases) == len(set(cases)) == 12
