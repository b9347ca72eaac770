"""The history as text: worst first, each lasting change with its two runs, a line of blocks for the eye."""

from __future__ import annotations

import pytest
from synthetic import named

from pytest_attn.gate.history import ChangePoint, History
from pytest_attn.report.history_table import LEVELS, WIDTH, history_table, sparkline

IDS = named(3)
COMMIT = "0abe94d1e5f60718293a4b5c6d7e8f9001122334"


def history(number: int, *ratios: float, changes: tuple[ChangePoint, ...] = (), golden: float | None = None) -> History:
    runs = tuple(map(str, range(len(ratios))))
    return History(id=IDS[number], runs=runs, ratios=ratios, changes=changes, from_golden=golden)


def test_the_worst_stand_first_by_either_drift() -> None:
    steady, slower = history(0, 1.0, 1.0, golden=0.0), history(1, 1.0, 1.2, 1.2, golden=0.0)
    since_golden = history(2, 1.0, 1.0, golden=0.3)
    lines = history_table([steady, slower, since_golden], 0.05).splitlines()
    assert [line.split()[-2] for line in lines[1:]] == [IDS[2].case, IDS[1].case, IDS[0].case]


def test_a_line_has_runs_ratio_and_drift_and_below_it_the_changes() -> None:
    change = ChangePoint(before=f"2026-11-18 {COMMIT}", after="2026-11-19 c18", ratio=1.12)
    _, line, below = history_table([history(0, 1.0, 1.12, 1.12, changes=(change,), golden=0.034)], 0.05).splitlines()
    assert line.split() == ["3", "x", "1.120", "+3.4%", "▁██", IDS[0].case, f"[{IDS[0].kernel}]"]
    assert below == "      x 1.120 between 2026-11-18 0abe94d1e and 2026-11-19 c18"


def test_without_golden_times_there_is_no_number() -> None:
    assert history_table([history(0, 1.0)], 0.05).splitlines()[1].split()[3] == "-"


@pytest.mark.parametrize(
    ("ratios", "line"),
    [
        ([1.0], "▁"),
        ([], ""),
        ([1.0, 1.0, 1.0], "▁▁▁"),
        ([1.0, 1.01], "▁▂"),  # a fifth of the floor
        ([1.0, 1.5], "▁█"),
        ([1.5, 1.0], "█▁"),
        ([1 + step / 7 for step in range(8)], LEVELS),
    ],
)
def test_a_sparkline_rises_with_the_ratio(ratios: list[float], line: str) -> None:
    assert sparkline(ratios, 0.05) == line


def test_a_sparkline_of_many_runs_is_no_wider_than_its_column() -> None:
    assert sparkline([1.0] * 500 + [2.0] * 500, 0.05) == "▁" * (WIDTH // 2) + "█" * (WIDTH // 2)
