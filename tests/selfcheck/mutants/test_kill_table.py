"""The kill matrix as text."""

from __future__ import annotations

from dataclasses import replace

from pytest_attn.report.kill_table import kill_report, kill_summary
from pytest_attn.report.kills import Fate, Kill, KillMatrix

DEAD = Fate(
    "tail-lost", "tail", "A tail is lost.", "", {"smoke_dense": Kill("b1-id", "lse")}, {"bsa": Kill("b2", "lse")}
)
ALIVE = Fate("scale-off", "scale", "The scale is off.")
SAME = Fate("slow", "leaked keys", "It is slow.", "only slower")
MATRIX = KillMatrix(
    (DEAD, ALIVE, SAME), {"smoke_output": 48, "smoke_dense": 24}, ("derived", "bsa"), 21, (("bsa", "b3-id"),), 7.4
)

REPORT = """\
test
   1 smoke_output (48 cells)
   2 smoke_dense (24 cells)

mutant     planted            1  2  first killed by
tail-lost  tail               .  x  lse in b1-id
scale-off  scale              .  .  SURVIVES

killed on 21 regular cells: normal inputs, lengths that are multiples of 128
  derived              0 of 2
  bsa                  1 of 2
killed on the cells above
  derived              1 of 2

equivalent to the correct kernel, not counted
  slow: only slower

killed 1 of 2 in 72 cells, 7 s
survivors: scale-off
the correct kernel fails, counted for nobody: b3-id (bsa)
"""

SUMMARY = """\
  scale                0 of   1 killed
  tail                 1 of   1 killed
killed 1 of 2 in 72 cells, 7 s
survivors: scale-off
the correct kernel fails, counted for nobody: b3-id (bsa)
"""


def test_the_report_shows_tests_tolerances_and_survivors() -> None:
    assert kill_report(MATRIX) == REPORT


def test_the_summary_counts_kinds_and_names_survivors() -> None:
    assert kill_summary(MATRIX) == SUMMARY


def test_a_diagnosis_has_a_column_where_there_is_one() -> None:
    matrix = replace(MATRIX, fates=(replace(DEAD, diagnosis="lost keys"), ALIVE))
    header, dead, alive = kill_report(matrix).splitlines()[4:7]
    assert header.split()[:3] == ["mutant", "planted", "diagnosis"]
    assert (dead.split()[1:4], alive.split()[1:3]) == (["tail", "lost", "keys"], ["scale", "-"])


def test_an_equivalent_mutant_that_was_killed_is_named() -> None:
    matrix = replace(MATRIX, fates=(DEAD, replace(SAME, kills=DEAD.kills)))
    assert kill_summary(matrix).splitlines()[2:4] == ["survivors: none", "killed though equivalent: slow"]


def test_many_cells_on_which_the_correct_kernel_fails_are_counted() -> None:
    matrix = replace(MATRIX, unfit=tuple(("bsa", f"b{number}") for number in range(11)))
    assert kill_summary(matrix).splitlines()[-1].endswith("b7 (bsa) and 3 more")


def test_without_regular_cells_no_tolerance_is_named() -> None:
    assert "regular" not in kill_report(replace(MATRIX, tolerances=(), regular=0))


def test_mutants_that_no_cell_reaches_are_counted_apart() -> None:
    matrix = replace(MATRIX, fates=(DEAD, replace(ALIVE, reached=False)), unfit=())
    assert kill_summary(matrix).splitlines()[-3:] == [
        "killed 1 of 1 in 72 cells, 7 s",
        "survivors: none",
        "not claimed by any cell, counted for nobody: scale-off",
    ]
    assert matrix.unexpected == ()
