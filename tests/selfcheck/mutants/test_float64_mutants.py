"""What is kept in float32 where inputs are float64 is seen, unless it is declared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop, tile_loop

CASE = Case(129, 257, head_dim=64, query_heads=2, dtype="float64")


class Float64Loop(TileLoop):
    """All of it in float64."""

    capabilities = replace(TileLoop.capabilities, dtypes=("float64",))


class AccumulatorInFloat32(Float64Loop):
    """Weighted values accumulate in float32."""

    def rescale_acc(self, acc: Tensor, decay: Tensor) -> Tensor:
        return super().rescale_acc(acc, decay).float().double()


class TotalInFloat32(Float64Loop):
    """The sum of weights accumulates in float32."""

    def rescale_total(self, total: Tensor, decay: Tensor) -> Tensor:
        return super().rescale_total(total, decay).float().double()


class ExponentialInFloat32(Float64Loop):
    """The exponential is that of float32."""

    def exp(self, logits: Tensor) -> Tensor:
        return logits.float().exp().double()


class ProductInFloat32(Float64Loop):
    """Scores are a product of float32."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return (query.float() @ key.float().mT).double()


def outcome(kernel: Kernel) -> str:
    return Session(Options()).cell(kernel, CASE).record().outcome


def test_a_loop_of_float64_is_green() -> None:
    assert outcome(tile_loop(Float64Loop)) == "passed"


@pytest.mark.parametrize("mutant", [AccumulatorInFloat32, TotalInFloat32, ExponentialInFloat32, ProductInFloat32])
def test_a_step_in_float32_is_red(mutant: type[TileLoop]) -> None:
    assert outcome(tile_loop(mutant)) == "failed"


@pytest.mark.parametrize(
    ("mutant", "declared"),
    [
        (AccumulatorInFloat32, Numerics(split=True, accumulator="float32")),
        (ExponentialInFloat32, Numerics(split=True, exp_error=2.0**-22, logits="float32")),
    ],
)
def test_a_step_in_float32_that_is_declared_is_green(mutant: type[TileLoop], declared: Numerics) -> None:
    assert outcome(replace(tile_loop(mutant), numerics={"float64": declared})) == "passed"
