"""Mutants that are right up to some length: each dies in a cell of the boundary beyond it, and lives below."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.selfcheck.mutants import sizes
from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
from pytest_attn.selfcheck.mutants.matrix import Found, Piece, find_kills


class Place(NamedTuple):
    """A group of `boundary` without its first word, the length beyond which cells of it show a bug, and the variant and
    head dimension that these need."""

    group: str
    beyond: int
    capability: str = ""
    head_dim: int = 0


INT16, UINT16 = 2**15 - 1, 2**16 - 1
PLACES = {
    "key-index-in-int16": Place("many_queries", INT16),
    "key-count-in-uint16": Place("many_keys", UINT16),
    "grid-of512-tiles": Place("many_queries", INT16),
    "window-in-int16": Place("many_keys_variants", INT16, "window_size"),
    "distance-in-int16": Place("many_keys_variants", INT16, "alibi_slopes"),
    "page-id-in-int16": Place("many_keys_variants", INT16, "block_table"),
    "length-in-uint16": Place("many_keys_variants", UINT16, "block_table"),
    "packed-end-in-int16": Place("many_keys_variants", INT16, "cu_seqlens"),
    "bias-row-in-uint16": Place("many_queries", UINT16, "attn_bias"),
    "bias-of-decoding-cut-at512": Place("many_keys_variants", 512, "attn_bias"),
    "keys-beyond8192-lost": Place("many_keys", 8192),
    "splits-beyond32-lost": Place("many_keys", 16384),
    "long-cache-not-rescaled": Place("many_keys", 2048),
    "second-half-of-wide-head-lost": Place("many_keys", 2047, head_dim=256),
    "keys-of-head128-beyond8192-lost": Place("many_keys", 8192, head_dim=128),
    "blocks-beyond32-lost": Place("prefill", 2048),
    "long-rows-of-wide-groups-one-too-far": Place("prefill", 1024),
    "window-of-long-prefill-one-too-far": Place("prefill", 512, "window_size"),
}


def cells(place: Place) -> tuple[Case, ...]:
    """The cells of a place, cheapest first."""

    def shows(case: Case) -> bool:
        claimed = {variant.capability for variant in case.variants}
        wide = place.head_dim in (0, case.head_dim)
        return max(case.query_length, case.key_length) > place.beyond and wide and {place.capability} - {""} <= claimed

    found = [case for case in find_sweep("boundary").groups[f"boundary_{place.group}"] if shows(case)]
    return tuple(sorted(found, key=flops))


def killing(name: str) -> Case:
    """The cheapest cell in which a mutant dies."""
    (kill,) = find_kills(Piece(find_mutants([name]), cells(PLACES[name]), {"test": DERIVED})).killed.values()
    return Case.parse(kill.case)


def found_on(name: str, case: Case) -> Found:
    return find_kills(Piece(find_mutants([name]), (case,), {"test": DERIVED}))


def test_every_mutant_of_a_size_has_a_place() -> None:
    assert list(PLACES) == [mutant.name for mutant in mutants() if mutant.kernel.__module__ == sizes.__name__]


@pytest.mark.parametrize("name", PLACES)
def test_a_mutant_dies_beyond_its_size_and_lives_below(name: str) -> None:
    case = killing(name)
    small = replace(case, query_length=min(case.query_length, 400), key_length=min(case.key_length, 400))
    found = found_on(name, small)
    assert (found.killed, found.unfit) == ({}, ())
