"""Mutants of one head dimension, or of as many queries as keys: each dies in cells that show it, not elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.matrix import Found, Piece, find_kills


class Place(NamedTuple):
    """A sweep, the cells of it that are like those which show a bug, and the fields of a case that shows nothing."""

    sweep: str
    shows: Callable[[Case], bool]
    elsewhere: dict[str, Any]


OTHER_DIM = {"head_dim": 64, "value_dim": 64}
MORE_KEYS = {"key_length": 200}


def varied(head_dim: int, capability: str) -> Callable[[Case], bool]:
    return lambda case: case.head_dim == head_dim and capability in {each.capability for each in case.variants}


def wide_and_strided(case: Case) -> bool:
    return case.head_dim == 256 and case.layout != "contiguous" and case.oracle in ("again", "sequence")


def long_rows(case: Case) -> bool:
    return case.head_dim == 72 and case.key_length > 1000


def square(case: Case) -> bool:
    causal = case.causal == "bottom-right" and case.sparsity is None
    return causal and case.query_length == case.key_length


PLACES = {
    "wide-keys-made-contiguous-once": Place("boundary", wide_and_strided, OTHER_DIM),
    "window-of-head80-lost": Place("core", varied(80, "window_size"), OTHER_DIM),
    "pages-of-head96-in-order": Place("core", varied(96, "block_table"), OTHER_DIM),
    "long-rows-of-head72-cut": Place("boundary", long_rows, OTHER_DIM),
    "causal-ignored-where-square": Place("boundary", square, MORE_KEYS),
    "last-tile-one-too-far-where-square": Place("boundary", square, MORE_KEYS),
}


def cells(name: str) -> tuple[Case, ...]:
    """The cells of the place of a mutant, cheapest first."""
    place = PLACES[name]
    return tuple(sorted(filter(place.shows, find_sweep(place.sweep)), key=flops))


def found_on(name: str, case: Case) -> Found:
    return find_kills(Piece(find_mutants([name]), (case,), {"test": DERIVED}))


@pytest.mark.parametrize("name", PLACES)
def test_a_mutant_dies_in_its_place_and_lives_elsewhere(name: str) -> None:
    (kill,) = find_kills(Piece(find_mutants([name]), cells(name), {"test": DERIVED})).killed.values()
    found = found_on(name, replace(Case.parse(kill.case), **PLACES[name].elsewhere))
    assert (found.killed, found.unfit) == ({}, ())


@pytest.mark.parametrize("name", ["causal-ignored-where-square", "last-tile-one-too-far-where-square"])
def test_many_cells_of_causal_self_attention_show_what_is_wrong_there(name: str) -> None:
    cases = [case for case in cells(name) if case.query_length > 64][::5]
    assert len(cases) > 10
    assert sum(len(found_on(name, case).killed) for case in cases) > len(cases) / 3
