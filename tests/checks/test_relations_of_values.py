"""Values summed: right kernels are linear in them, planted bugs are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planted import GROUPED, claiming, record_of, relation_on
from torch import Tensor

from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

SUMMED = Case(40, 131, head_dim=16, query_heads=4, key_heads=2, oracle="summedvalues")


@pytest.mark.parametrize("recipe", ["normal", "needle", "zeros", "largevalue"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GROUPED)
def test_a_built_in_kernel_is_linear_in_the_values(name: str, dtype: str, recipe: str) -> None:
    record = record_of(name, replace(SUMMED, dtype=dtype, recipe=recipe))  # type: ignore[arg-type]
    assert record.outcome == "passed", record.reason


def test_no_other_built_in_kernel_claims_the_case() -> None:
    assert claiming(SUMMED) == GROUPED


class ClampsValues(TileLoop):
    """Values beyond 3 saturate (a narrow type in between)."""

    def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        return super().load_value(problem, inputs, lane, keys).clamp(-3.0, 3.0)


class MixesLogitsWithValues(TileLoop):
    """A value column is added to the logits (an address that overlaps)."""

    def load_key(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        key = super().load_key(problem, inputs, lane, keys).clone()
        key[..., 0] = self.load_value(problem, inputs, lane, keys)[..., 0]
        return key


@pytest.mark.parametrize("kernel", [ClampsValues, MixesLogitsWithValues])
def test_a_kernel_that_is_not_linear_is_red(kernel: type[TileLoop]) -> None:
    assert relation_on(kernel(), SUMMED).summary.startswith("values summed: out: row RMS")


def test_a_log_sum_exp_that_depends_on_the_values_is_red() -> None:
    summary = relation_on(MixesLogitsWithValues(), SUMMED).summary
    assert "values summed: lse: off by" in summary
