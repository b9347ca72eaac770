"""Mutants of the variants of attention: the loop that they differ from is right where they die, and they live where
there is no variant. That those of the forward pass die is the matter of `tests/diagnosis/test_variants.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from variant_cases import KILLED_ON

from pytest_attn.execution.api import judged
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.selfcheck.mutants import lengths, logit_changes, sinks, variant_gradients, windows
from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
from pytest_attn.selfcheck.mutants.matrix import Piece, find_kills
from pytest_attn.selfcheck.mutants.tile_loop import tile_loop
from pytest_attn.selfcheck.mutants.variant_backward_loop import VariantBackwardLoop
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop


def test_every_mutant_of_a_variant_has_a_case() -> None:
    files = [family.__name__ for family in (windows, lengths, logit_changes, sinks, variant_gradients)]
    assert list(KILLED_ON) == [mutant.name for mutant in mutants() if mutant.kernel.__module__ in files]


@pytest.mark.parametrize("case", dict.fromkeys(KILLED_ON.values()), ids=lambda case: case.id)
def test_the_clean_loop_is_right_where_they_die(case: Case) -> None:
    loop = VariantBackwardLoop if case.ask == "grad" else VariantLoop
    (record,) = judged(tile_loop(loop), [case], Session(Options()))
    assert (record.outcome, record.reason) == ("passed", "")


@pytest.mark.parametrize("name", [name for name, case in KILLED_ON.items() if case.ask == "grad"])
def test_a_mutant_of_gradients_dies_where_its_bug_shows(name: str) -> None:
    found = find_kills(Piece(find_mutants([name]), (KILLED_ON[name],), {"test": DERIVED}))
    assert [kill.case for kill in found.killed.values()] == [KILLED_ON[name].id]


@pytest.mark.parametrize("name", KILLED_ON)
def test_a_mutant_lives_where_there_is_no_variant(name: str) -> None:
    plain = replace(KILLED_ON[name], variants=())
    assert find_kills(Piece(find_mutants([name]), (plain,), {"test": DERIVED})).killed == {}


@pytest.mark.parametrize("group", find_sweep("core").groups)
def test_the_clean_loop_passes_a_sample_of_the_sweep(group: str) -> None:
    records = judged(tile_loop(VariantLoop), find_sweep("core").groups[group][::9], Session(Options()))
    assert [record.reason for record in records if record.outcome not in ("passed", "not claimed")] == []
