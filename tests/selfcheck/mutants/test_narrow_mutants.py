"""Mutants of one head dimension, or of as many queries as keys: each dies in a group made for it, not elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.matrix import Found, Piece, find_kills


class Killed(NamedTuple):
    """A group of `boundary` without its first word, one of its cells, and the fields of a case that shows nothing."""

    group: str
    case: str
    elsewhere: dict[str, Any]


OTHER_DIM = {"head_dim": 64, "value_dim": 64}
SQUARE = "b1-h1-s65-d32-float16-causal-both-exact"
MORE_KEYS = {"key_length": 66}
KILLED = {
    "wide-keys-made-contiguous-once": Killed(
        "head_dims", "b1-h1-s129-d256-bfloat16-growing-bsnd-out-sequence", OTHER_DIM
    ),
    "window-of-head80-lost": Killed(
        "head_dims_variants", "b2-h3-kv1-s1x300-d80-float32-causal-win40x0-paged16-out-exact", OTHER_DIM
    ),
    "pages-of-head96-in-order": Killed(
        "head_dims_variants", "b2-h2-s1x300-d96x128-float32-causal-win40x0-paged16-both-exact", OTHER_DIM
    ),
    "long-rows-of-head72-cut": Killed("head_dims", "b1-h2-kv1-s1x2049-d72-float32-causal-both-exact", OTHER_DIM),
    "causal-ignored-where-square": Killed("self_attention", SQUARE, MORE_KEYS),
    "last-tile-one-too-far-where-square": Killed(
        "self_attention", "b1-h1-s65-d32-float16-causal-both-exact", MORE_KEYS
    ),
}


def found_on(name: str, case: Case) -> Found:
    return find_kills(Piece(find_mutants([name]), (case,), {"test": DERIVED}))


@pytest.mark.parametrize("name", KILLED)
def test_a_mutant_dies_in_the_group_of_its_kind(name: str) -> None:
    group, case, _ = KILLED[name]
    assert case in {each.id for each in find_sweep("boundary").groups[f"boundary_{group}"]}
    assert [kill.case for kill in found_on(name, Case.parse(case)).killed.values()] == [case]


@pytest.mark.parametrize("name", KILLED)
def test_a_mutant_lives_elsewhere(name: str) -> None:
    found = found_on(name, replace(Case.parse(KILLED[name].case), **KILLED[name].elsewhere))
    assert (found.killed, found.unfit) == ({}, ())


@pytest.mark.parametrize("name", ["causal-ignored-where-square", "last-tile-one-too-far-where-square"])
def test_most_cells_of_self_attention_show_what_is_wrong_there(name: str) -> None:
    cases = find_sweep("boundary").groups["boundary_self_attention"][::12]
    assert sum(len(found_on(name, case).killed) for case in cases) > len(cases) / 2
