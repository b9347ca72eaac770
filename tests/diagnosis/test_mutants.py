"""Mutants against what the diagnosis names."""

from __future__ import annotations

from torch import Tensor

from pytest_attn.problem.case import Case
from pytest_attn.report.kill_table import kill_report
from pytest_attn.report.kills import Fate, Kill, KillMatrix
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.diagnoses import diagnosed
from pytest_attn.selfcheck.mutants.matrix import kill_matrix
from pytest_attn.selfcheck.mutants.mutant import Mutant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

CELLS = {"dense": [Case.parse("b1-h1-s40x70-d32-float32-both-exact")]}


def test_the_matrix_says_what_the_diagnosis_names() -> None:
    mutants = find_mutants(["first-key-dropped", "empty-rows-plus-infinity"])
    matrix = diagnosed(kill_matrix(mutants, CELLS, regular=(), workers=1), mutants, workers=1)
    assert [fate.diagnosis for fate in matrix.fates] == ["lost keys", ""]


def test_cells_of_which_nothing_is_said_are_counted() -> None:
    class Strange(TileLoop):
        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            return super().scores(query, key).sin() * 3.0

    strange = Mutant(Strange, "scale")
    matrix = diagnosed(kill_matrix([strange], CELLS, regular=(), workers=1), [strange], workers=1)
    assert [fate.unnamed for fate in matrix.fates] == [("b1-h1-s40x70-d32-float32-both-exact",)]


def test_the_report_counts_what_is_named_rightly_and_lists_what_is_not() -> None:
    kill = {"dense": Kill("b1-h1-s40x70-d32-float32-both-exact", "out_row_rms")}
    fates = (
        Fate("one", "tail", "", kills=kill, diagnosis="tail"),
        Fate("two", "tail", "", kills=kill, diagnosis="lost keys"),
        Fate("three", "tail", "", kills=kill, unnamed=("b1-h1-s40x70-d32-float32-both-exact",)),
        Fate("four", "tail", ""),
    )
    report = kill_report(KillMatrix(fates, {"dense": 1}))
    assert "names the planted kind for 1 of 3 mutants killed (33%), another for 1, none for 1" in report
    assert "  two  tail             named lost keys" in report
    assert "no phrase for 1 of 3 red cells (33.3%)" in report
