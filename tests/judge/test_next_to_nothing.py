"""Where next to no error is allowed, a finding says what was expected, and no multiple of nothing."""

from __future__ import annotations

import re

import pytest
import torch

from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop, tile_loop


def verdict_on(added: float, case: str) -> Verdict:
    """The verdict on a loop that adds a number to every element."""

    class Off(TileLoop):
        def store_out(self, problem: Problem, out: torch.Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_out(problem, out, lane, rows, Part(part.out + added, part.lse))

    return Session(Options()).cell(tile_loop(Off), Case.parse(case)).judge()


NOTHING = ["b1-h2-s40x70-d32-float32-zeros-out-exact", "b1-h2-s40x70-d32-bfloat16-keycoded-out-exact"]


@pytest.mark.parametrize("case", NOTHING)
def test_what_was_expected_is_told_and_what_came(case: str) -> None:
    assert "out: off where no error is allowed: expected 0, got 0.1" in verdict_on(0.1, case).summary


@pytest.mark.parametrize("case", NOTHING)
@pytest.mark.parametrize("added", [0.1, 1e30])
def test_no_multiple_of_nothing_is_told(case: str, added: float) -> None:
    assert re.findall(r"inf x|e\+[123]\d (x|standard)", verdict_on(added, case).summary) == []


def test_it_is_told_once() -> None:
    assert verdict_on(0.1, NOTHING[0]).summary.count("no error is allowed") == 1


def test_where_rounding_has_room_figures_are_told() -> None:
    words = verdict_on(0.1, "b1-h2-s40x70-d32-float32-out-exact").summary
    assert re.search(r"row RMS [0-9.e+]+ x the rounding error expected", words)
    assert "is allowed" not in words


def test_a_right_result_is_right() -> None:
    assert [verdict_on(0.0, case).summary for case in NOTHING] == ["right", "right"]
