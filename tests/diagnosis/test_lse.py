"""An LSE that is wrong beside an output that is right: by what."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from failing import diagnosis_of, phrase_of
from torch import Tensor

from pytest_attn.problem.kinds import Kind
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, State, TileLoop

CASE = "b2-h3-s40x70-d32-float32-both-exact"


def telling(told: Callable[[Tensor], Tensor]) -> type[TileLoop]:
    """A loop whose LSE `[B, H, rows, 1]` is told otherwise."""

    class Telling(TileLoop):
        def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_lse(problem, lse, lane, rows, Part(part.out, told(part.lse)))

    return Telling


@pytest.mark.parametrize(
    ("told", "kind", "phrase"),
    [
        (lambda lse: lse / math.log(2), "lse base", "lse is in base 2"),
        (lambda lse: lse / math.log(2) ** 2, "lse base", "lse is in base 2, converted twice"),
        (lambda lse: lse + math.log(2), "lse shift", "lse is off by +0.693 in every row"),
        (lambda lse: -lse, "lse scale", "lse has the wrong sign"),
        (lambda lse: 1.25 * lse, "lse scale", "lse is 1.25 times what is expected"),
        (lambda lse: lse.roll(1, dims=2), "lse order", "lse of each row is that of the row 1 before it"),
        (lambda lse: lse.flip(1), "lse order", "lse has its heads in the wrong order"),
        (lambda lse: lse.flip(0), "lse order", "lse has its batches in the wrong order"),
        (lambda lse: torch.zeros_like(lse), "null", "lse is 0 in every row"),
        (lambda lse: lse.bfloat16().float(), "precision", "lse is rounded to bfloat16"),
        (lambda lse: lse * torch.inf, "not finite", "lse is not finite in 240 of 240 rows, out is"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_the_lse_is_named(told: Callable[[Tensor], Tensor], kind: Kind, phrase: str) -> None:
    found = diagnosis_of(telling(told), CASE)
    assert found is not None
    assert (found.kind, found.phrase) == (kind, phrase)


def test_the_maximum_alone_is_named() -> None:
    class MaximumAlone(TileLoop):
        split_count = 1

        def log_sum_exp(self, state: State) -> Tensor:
            return state.maximum

    found = diagnosis_of(MaximumAlone, CASE)
    assert found is not None
    assert found.phrase == "lse is the row's maximum alone: the logarithm of the sum is missing"


def test_one_row_is_too_few_for_a_constant() -> None:
    assert diagnosis_of(telling(lambda lse: lse + 0.5), "b1-h1-s1x70-d32-float32-both-exact") is None


def test_two_formulas_that_zero_queries_cannot_tell_apart_are_both_named() -> None:
    kernel = telling(lambda lse: lse / math.log(2))
    assert phrase_of(kernel, "b1-h2-s40x70-d32-float32-zeroquery-both-exact") == (
        "lse is in base 2, or lse adds a logarithm in base 2 to a maximum in base e"
    )
