"""Mutants that are right up to some length: each dies in a cell of the boundary beyond it, and lives below."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.selfcheck.mutants import sizes
from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
from pytest_attn.selfcheck.mutants.matrix import Found, Piece, find_kills

KILLED_ON = {
    "key-index-in-int16": ("many_queries", "b1-h1-s65601x64-d64-bfloat16-causal-topleft-needle-out-exact"),
    "key-count-in-uint16": ("many_keys", "b1-h1-s1x73731-d64-float16-causal-both-exact"),
    "grid-of512-tiles": ("many_queries", "b1-h1-s65601x64-d64-bfloat16-causal-topleft-needle-out-exact"),
    "window-in-int16": ("many_keys_variants", "b1-h1-s1x131073-d64-float16-win127x0-growing-out-exact"),
    "distance-in-int16": ("many_keys_variants", "b1-h2-kv1-s1x32769-d64-float16-alibi-needle-out-exact"),
    "page-id-in-int16": ("many_keys_variants", "b2-h1-s3x65537-d64-bfloat16-paged1-large-out-exact"),
    "length-in-uint16": (
        "many_keys_variants",
        "b2-h2-kv1-s1x65537-d64-float16-causal-win1000x0-paged64-large-out-exact",
    ),
    "packed-end-in-int16": ("many_keys_variants", "b2-h2-kv1-s8x65537-d64-float32-causal-packed-growing-out-exact"),
    "bias-row-in-uint16": ("many_queries", "b1-h1-s65601x1-d64-float16-bias1x1-large-both-exact"),
    "bias-of-decoding-cut-at512": (
        "many_keys_variants",
        "b1-h2-kv1-s1x513-d128-float32-causal-biasbxh-needle-out-exact",
    ),
    "keys-beyond8192-lost": ("many_keys", "b1-h1-s1x16383-d64-bfloat16-growing-both-exact"),
    "splits-beyond32-lost": ("many_keys", "b1-h1-s1x18435-d64-float16-large-out-exact"),
    "long-cache-not-rescaled": ("many_keys", "b1-h1-s1x2307-d64-float32-causal-large-both-exact"),
    "second-half-of-wide-head-lost": ("many_keys", "b2-h1-s1x2049-d256-bfloat16-causal-growing-out-exact"),
}
"""The group of `boundary` in which each mutant dies, without its first word, and one of the cells."""


def found_on(name: str, case: Case) -> Found:
    return find_kills(Piece(find_mutants([name]), (case,), {"test": DERIVED}))


def test_every_mutant_of_a_size_has_a_cell() -> None:
    assert list(KILLED_ON) == [mutant.name for mutant in mutants() if mutant.kernel.__module__ == sizes.__name__]


@pytest.mark.parametrize("name", KILLED_ON)
def test_a_mutant_dies_beyond_its_size(name: str) -> None:
    group, case = KILLED_ON[name]
    assert case in {each.id for each in find_sweep("boundary").groups[f"boundary_{group}"]}
    assert [kill.case for kill in found_on(name, Case.parse(case)).killed.values()] == [case]


@pytest.mark.parametrize("name", KILLED_ON)
def test_a_mutant_lives_below_its_size(name: str) -> None:
    case = Case.parse(KILLED_ON[name][1])
    small = replace(case, query_length=min(case.query_length, 400), key_length=min(case.key_length, 400))
    found = found_on(name, small)
    assert (found.killed, found.unfit) == ({}, ())
