"""Logits that the precision which a kernel declares cannot hold: its cells are not claimed, and not red or green."""

from __future__ import annotations

import pytest

from pytest_attn.execution.session import Session
from pytest_attn.kernels.lost_logits import loses_logits
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.recipes import largest_logit
from pytest_attn.problem.variants import Softcap
from pytest_attn.problem.vocabulary import Recipe


def lost(case: Case, numerics: Numerics) -> bool:
    problem = Problem.of(case)
    return loses_logits(problem, numerics, largest_logit(problem, case.recipe))


STORED = [
    *(Numerics(logits="input"), Numerics(unscaled_logits="input"), Numerics(scaled_query="input")),
    *(Numerics(scale="input"), Numerics(accumulator="input"), Numerics.of_torch_eager()),
]


@pytest.mark.parametrize("numerics", STORED, ids=str)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_huge_logits_are_lost_in_half_types(dtype: str, numerics: Numerics) -> None:
    assert lost(Case(5, 30, dtype=dtype, recipe="hugelogit"), numerics)
    assert not lost(Case(5, 30, dtype=dtype, recipe="cancelling"), numerics)


def test_huge_logits_are_lost_in_tf32() -> None:
    assert lost(Case(5, 30, dtype="float32", recipe="hugelogit"), Numerics(products="tf32"))
    assert not lost(Case(5, 30, dtype="bfloat16", recipe="hugelogit"), Numerics(products="tf32"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_float32_keeps_them(dtype: str) -> None:
    assert not lost(Case(5, 30, dtype=dtype, recipe="hugelogit"), Numerics())
    assert not lost(Case(5, 30, dtype="float32", recipe="hugelogit"), Numerics.of_torch_eager())


@pytest.mark.parametrize("recipe", ["saturating", "hugelogit"])
def test_what_a_cap_leaves_of_huge_logits_is_stored_well(recipe: Recipe) -> None:
    plain = Case(5, 30, dtype="bfloat16", recipe=recipe)
    capped = Case(5, 30, dtype="bfloat16", recipe=recipe, variants=(Softcap(30.0),))
    assert [lost(case, Numerics(logits="input")) for case in (plain, capped)] == [True, False]


def test_a_product_may_overflow_where_the_logit_does_not() -> None:
    case = Case(5, 30, dtype="float16", scale=0.01, recipe="saturating")
    assert not lost(case, Numerics(logits="input"))
    assert lost(case, Numerics(unscaled_logits="input"))


def test_such_a_cell_is_not_claimed() -> None:
    cell = Session(Options()).cell("naive", Case(5, 30, dtype="bfloat16", recipe="hugelogit"))
    skipped = cell.skipped()
    assert skipped is not None
    assert (skipped.outcome, skipped.reason) == (
        "not claimed",
        "not claimed: logits as large as these are lost in the precision that it declares",
    )
