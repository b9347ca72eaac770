"""A decision is one line for a person and plain data for a report."""

from __future__ import annotations

import json

import pytest

from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision, seconds

SLOWER = Decision(
    id=BenchmarkId("b1-h2-s1024", "k"),
    word="slower",
    stage="confirmed",
    old=3.2e-3,
    new=3.6e-3,
    ratio=1.125,
    interval=(1.09, 1.16),
    floor=0.025,
    smallest_detectable=0.061,
    reason="by 3 fresh processes",
    reproduce="python -m pytest x",
)


def test_the_line_reads_from_old_to_the_command_that_shows_it() -> None:
    assert SLOWER.line == (
        "b1-h2-s1024 [k]: slower; 3.2 ms -> 3.6 ms, x 1.125 (1.090 to 1.160), floor 2.5%, smallest detectable 6.1%; "
        "confirmed; by 3 fresh processes; reproduce: python -m pytest x"
    )


def test_a_line_without_figures_leaves_them_out() -> None:
    new = Decision(id=BenchmarkId("case", "k"), word="new", new=2e-6, floor=0.05)
    assert new.line == "case [k]: new; none -> 2 us, floor 5%"


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "2.5 s"), (1e-3, "1 ms"), (5e-7, "0.5 us"), (0.0, "0 us"), (None, "none")]
)
def test_times_have_units_that_suit_them(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_a_decision_is_plain_data() -> None:
    found = json.loads(json.dumps(SLOWER.as_dict()))
    assert (found["case"], found["word"], found["interval"]) == ("b1-h2-s1024", "slower", [1.09, 1.16])
