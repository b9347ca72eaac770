"""What the scores, or the output, are multiplied with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from failing import diagnosis_of, phrase_of
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import State, TileLoop


def scaled(scale: float) -> type[TileLoop]:
    class Scaled(TileLoop):
        def scale(self, problem: Problem) -> float:
            return scale

    return Scaled


@pytest.mark.parametrize(
    ("scale", "phrase"),
    [
        (1.0, "softmax scale is 1 (none), expected 0.125"),
        (1 / 64, "softmax scale is 0.01562 (1 / head_dim), expected 0.125"),
        (0.25, "softmax scale is 0.25, expected 0.125"),
        (0.1275, "softmax scale is 0.1275, expected 0.125"),
    ],
)
def test_the_scale_is_named_with_figures(scale: float, phrase: str) -> None:
    assert phrase_of(scaled(scale), "b1-h2-s40x70-d64-float32-both-exact") == phrase


class Twice(TileLoop):
    def scale(self, problem: Problem) -> float:
        return super().scale(problem) ** 2


class TwiceWithoutOthers(Twice):
    capabilities = replace(TileLoop.capabilities, any_scale=False)


DEFAULT = "b1-h2-s40x70-d64-float32-both-exact"


def test_another_scale_tells_what_a_scale_comes_from() -> None:
    assert phrase_of(Twice, DEFAULT) == "softmax scale is 0.01562 (applied twice), expected 0.125"


def test_all_that_a_scale_may_come_from_is_named_where_the_kernel_takes_no_other() -> None:
    why = "1 / head_dim, or applied twice, or divided by sqrt(head_dim)"
    assert phrase_of(TwiceWithoutOthers, DEFAULT) == f"softmax scale is 0.01562 ({why}), expected 0.125"


def test_a_scale_is_found_where_the_lse_alone_is_asked_for() -> None:
    assert "softmax scale is 0.25" in phrase_of(scaled(0.25), "b1-h2-s40x70-d64-float32-lse-exact")


BETWEEN = "b1-h2-s40x70-d64-float32-scale0p05-both-exact"


def test_a_rounded_scale_is_a_matter_of_precision() -> None:
    class Rounded(TileLoop):
        def scale(self, problem: Problem) -> float:
            return float(torch.tensor(problem.scale, dtype=torch.bfloat16))

    found = diagnosis_of(Rounded, BETWEEN)
    assert found is not None
    assert (found.kind, found.phrase) == (
        "precision",
        "softmax scale is rounded to bfloat16: 0.0500488, expected 0.05",
    )


def test_an_error_that_a_scale_without_rounding_has_as_well_is_none_of_a_rounded_scale() -> None:
    class Steeper(TileLoop):
        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            return super().scores(query, key) * (0.050048828125 / 0.05)

    found = diagnosis_of(Steeper, BETWEEN)
    assert found is None or "rounded" not in found.phrase


def test_a_rounded_scale_is_not_said_of_a_kernel_that_takes_no_other() -> None:
    class Rounded(TileLoop):
        capabilities = replace(TileLoop.capabilities, any_scale=False)

        def scale(self, problem: Problem) -> float:
            return float(torch.tensor(problem.scale, dtype=torch.bfloat16))

    found = diagnosis_of(Rounded, "b1-h2-s40x70-d72-float32-both-exact")
    assert found is None or "is rounded" not in found.phrase


def test_a_factor_of_the_output_is_named() -> None:
    class Halved(TileLoop):
        def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
            return 0.5 * super().load_value(problem, inputs, lane, keys)

    assert phrase_of(Halved, "b1-h2-s40x70-d64-float32-both-exact") == "out is 0.5 times what is expected"


def test_sums_that_start_at_one_are_told_from_padding() -> None:
    class StartsAtOne(TileLoop):
        def start(self, query: Tensor, problem: Problem) -> State:
            state = super().start(query, problem)
            state.maximum.zero_()
            state.total.fill_(1.0)
            return state

    found = diagnosis_of(StartsAtOne, "b1-h2-s40x70-d64-float32-both-exact")
    assert found is not None
    assert found.kind == "rescale"
