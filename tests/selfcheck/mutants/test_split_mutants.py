"""Mutants of partial results: the loop that they differ from is right, and each dies where its bug shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_attn.execution.api import judged
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.variants import KeyLengths, NumSplits
from pytest_attn.selfcheck.mutants import splits
from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
from pytest_attn.selfcheck.mutants.matrix import Piece, find_kills
from pytest_attn.selfcheck.mutants.split_loop import SplitLoop
from pytest_attn.selfcheck.mutants.tile_loop import tile_loop

WHOLE = Case(2, 300, head_dim=16, query_heads=4, key_heads=2, causal="bottom-right", variants=(NumSplits(3),))
RAGGED = replace(WHOLE, batch=4, dtype="float32", variants=(KeyLengths(), NumSplits(3)))
NAMES = [mutant.name for mutant in mutants() if mutant.kernel.__module__ == splits.__name__]
SHOWN_BY = {
    "partial-lse-of-empty-split-is-zero": RAGGED,
    "splits-of-longest-sequence": RAGGED,
    "partial-out-in-half-precision": replace(WHOLE, recipe="largevalue"),
}


@pytest.mark.parametrize("case", [WHOLE, *dict.fromkeys(SHOWN_BY.values())], ids=lambda case: case.id)
def test_the_clean_loop_is_right_where_they_die(case: Case) -> None:
    assert [record.reason for record in judged(tile_loop(SplitLoop), [case], Session(Options()))] == [""]


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_dies_where_its_bug_shows(name: str) -> None:
    case = SHOWN_BY.get(name, WHOLE)
    found = find_kills(Piece(find_mutants([name]), (case,), {"test": DERIVED}))
    assert [kill.case for kill in found.killed.values()] == [case.id]


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_lives_where_the_result_is_returned(name: str) -> None:
    whole = replace(WHOLE, variants=())
    assert find_kills(Piece(find_mutants([name]), (whole,), {"test": DERIVED})).killed == {}


SPLIT = [case for case in find_sweep("decode") if any(isinstance(each, NumSplits) for each in case.variants)]


def test_the_clean_loop_passes_a_sample_of_the_sweep() -> None:
    records = judged(tile_loop(SplitLoop), SPLIT[::9], Session(Options()))
    reasons = [record.reason for record in records if record.outcome != "passed"]
    assert {*reasons} <= {"not claimed: dtype float64"}
