"""The catalog of mutants."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import pytest

from pytest_attn.problem.kinds import Kind
from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
from pytest_attn.selfcheck.mutants.mutant import Mutant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


def own_steps(mutant: Mutant) -> set[str]:
    """The steps that a mutant's class defines itself."""
    return {name for name in vars(mutant.kernel) if not name.startswith("__")}


EACH = pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)


def test_there_are_at_least_85_that_are_not_equivalent() -> None:
    assert sum(not mutant.equivalent for mutant in mutants()) >= 85


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in mutants()).items() if count > 1] == []


def test_every_kind_of_bug_is_planted() -> None:
    assert {mutant.planted for mutant in mutants()} == set(get_args(Kind))


@EACH
def test_a_mutant_overrides_one_step_of_the_loop(mutant: Mutant) -> None:
    assert len(own_steps(mutant)) == 1


@EACH
def test_a_mutant_says_its_bug_in_one_sentence(mutant: Mutant) -> None:
    assert re.fullmatch(r"[A-Z0-9][^\n]{15,170}\.", mutant.bug), mutant.bug


def test_the_clean_loop_is_not_among_them() -> None:
    assert all(mutant.kernel is not TileLoop for mutant in mutants())


def test_a_mutant_is_found_by_its_name() -> None:
    (found,) = find_mutants(["last-tile-unmasked"])
    assert (found.kernel.__name__, found.planted, found.family) == ("LastTileUnmasked", "tail", "tails")


def test_an_unknown_mutant_names_the_closest() -> None:
    with pytest.raises(ValueError, match=r"unknown mutant 'last-tile-umasked'; allowed: last-tile-unmasked, "):
        find_mutants(["last-tile-umasked"])
