"""Declarations that would explain a red verdict are named; a bug is never explained by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from failing import diagnosis_of, failed_cell

from pytest_attn.diagnosis.declarations import candidates, undeclared
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.case_id import parse
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.tile_loop import tile_loop
from tests.judge.test_stored_results import LSE, declared, rounded
from tests.judge.torch_eager import (
    another_scale,
    eager,
    exact,
    merged_parts,
    product_first,
    rounded_to,
    scalar_scale,
    without_last_key,
)

EAGER = Numerics.of_torch_eager()
WIDE = Numerics(probabilities="float32", normalized=True)
LONG = "b1-h1-s509-d128-bfloat16-out-exact"
ODD = "b1-h1-s130x259-d192x128-float16-out-exact"
SMALL = "b2-h4-kv2-s129x257-d40-bfloat16-scale0p05-grad-exact"

UNDECLARED = {
    "eager attention": (eager(Numerics(), product_first), LONG, "Numerics.of_torch_eager()"),
    "product": (eager(replace(EAGER, unscaled_logits=None), product_first), LONG, "unscaled_logits='input'"),
    "scale": (eager(WIDE, scalar_scale, average=rounded_to(torch.float16)), ODD, "scale='input'"),
    "gradients": (
        eager(replace(EAGER, backward=BackwardNumerics(delta_of="probabilities")), product_first),
        SMALL,
        "backward=Numerics.of_torch_eager().backward",
    ),
    "parts": (
        eager(replace(WIDE, split=True), exact, average=merged_parts),
        LONG,
        "split_parts='input'",
    ),
}


@pytest.mark.parametrize("name", [name for name in UNDECLARED if name != "parts"])
def test_what_is_not_declared_is_named(name: str) -> None:
    kernel, case, written = UNDECLARED[name]
    found = diagnosis_of(kernel, case)
    assert found is not None
    assert found.kind == "precision"
    assert written in found.phrase


def explained(kernel: Any, case: str) -> Any:
    """The declaration that would explain what a kernel returns on a case that it fails."""
    cell = failed_cell(kernel, case)
    verdict = cell.judge()
    assert not verdict.passed
    return undeclared(Evidence(cell.subject, verdict, TimeBox(120.0)))


def test_parts_that_are_stored_are_not_taken_for_something_coarser() -> None:
    found = explained(*UNDECLARED["parts"][:2])
    assert found is not None
    assert "logits" not in found.words


@pytest.mark.parametrize("numerics", [Numerics(), EAGER], ids=["flash", "eager"])
@pytest.mark.parametrize("mistake", [without_last_key, another_scale])
def test_a_bug_is_not_explained(numerics: Numerics, mistake: Any) -> None:
    assert explained(eager(numerics, mistake(product_first)), LONG) is None


MUTANTS = [
    ("first-key-dropped", "b1-h2-s131x259-d64-bfloat16-both-exact"),
    ("last-key-dropped", "b1-h2-s131x259-d64-bfloat16-both-exact"),
    ("acc-not-rescaled", "b1-h2-s131x259-d64-bfloat16-both-exact"),
    # The key that is lost or leaks has next to no weight in most rows, so that wider numerics hide it.
    ("last-key-dropped", "b2-h6-kv2-s92-d64-bfloat16-causal-large-both-exact"),
    ("tail-rounded-to-page", "b2-h2-s129-d40-float16-large-both-shiftedkeys"),
    ("scale-off-by-two-percent", "b2-h6-kv2-s142-d192x128-bfloat16-causal-growing-out-exact"),
    ("maximum-starts-at-zero", "b1-h1-s1-d128-bfloat16-out-exact"),
]


@pytest.mark.parametrize(("name", "case"), MUTANTS)
def test_a_mutant_is_not_explained(name: str, case: str) -> None:
    assert explained(tile_loop(find_mutants([name])[0].kernel), case) is None


@pytest.mark.parametrize("recipe", ["", "large-"])
def test_an_lse_that_is_stored_is_named_though_other_numerics_allow_it(recipe: str) -> None:
    found = explained(declared(Numerics(), rounded), LSE.format(dtype="bfloat16", recipe=recipe))
    assert found is not None
    assert "stored_lse='input'" in found.words


def test_a_bug_of_an_lse_that_is_stored_is_not_explained() -> None:
    def off(lse: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        # Less than an LSE of bfloat16 is rounded by, in one row of eight.
        return lse + 0.012 * (torch.arange(lse.shape[2]) % 8 == 0)

    assert explained(declared(Numerics(), off), LSE.format(dtype="bfloat16", recipe="")) is None


def test_a_named_set_is_named_beside_the_field_that_explains_one_case() -> None:
    found = explained(eager(Numerics(), product_first), "b1-h1-s130x259-d64-bfloat16-out-exact")
    assert found is not None
    assert "logits='input' would explain, as Numerics.of_torch_eager() would" in found.words


def test_rows_that_may_be_anything_do_not_stand_in_the_way_of_a_declaration() -> None:
    found = diagnosis_of(eager(Numerics(), product_first), "b1-h2-s300x127-d64-bfloat16-causal-out-exact")
    assert found is not None
    assert found.kind == "precision"
    assert "logits='input'" in found.phrase


def test_a_flat_tolerance_is_explained_by_no_declaration() -> None:
    cell = failed_cell(eager(Numerics(), without_last_key(product_first)), LONG)
    flat = replace(cell.subject, tolerance="bsa")
    assert undeclared(Evidence(flat, cell.judge(), TimeBox(120.0))) is None


@pytest.mark.parametrize(("dtype", "offered"), [("float32", False), ("bfloat16", True)])
@pytest.mark.parametrize(
    "written", ["split=True, split_parts='input'", "logits='input'", "probabilities='input'", "scale='input'"]
)
def test_what_comes_to_the_precision_of_sums_is_no_declaration(written: str, dtype: str, offered: bool) -> None:
    problem = Problem.of(parse(f"b1-h1-s9-d16-{dtype}-out-exact"))
    assert (written in {each.written for each in candidates(WIDE, problem)}) == offered


def test_one_more_rounding_is_a_declaration_in_float32_too() -> None:
    problem = Problem.of(parse("b1-h1-s9-d16-float32-out-exact"))
    assert "scaled_query='input'" in {each.written for each in candidates(WIDE, problem)}
