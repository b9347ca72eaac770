"""Keys permuted, shifted, duplicated, split: right kernels agree with themselves, planted bugs do not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from planted import GROUPED, claiming, record_of, relation_on
from torch import Tensor

from pytest_attn.checks.relations.grid import coarse, drawn
from pytest_attn.checks.relations.keys import cut_of
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import State, TileLoop

PERMUTED = Case(40, 131, head_dim=16, query_heads=4, key_heads=2, oracle="permutedkeys")
SHIFTED = replace(PERMUTED, oracle="shiftedkeys")
DUPLICATED = replace(PERMUTED, oracle="duplicatedkeys")
SPLIT = replace(PERMUTED, oracle="splitkeys")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("case", [PERMUTED, SHIFTED, DUPLICATED, SPLIT], ids=lambda case: case.oracle)
def test_a_built_in_kernel_agrees_with_itself(name: str, case: Case, dtype: str) -> None:
    record = record_of(name, replace(case, dtype=dtype))
    assert record.outcome == "passed", record.reason


@pytest.mark.parametrize("case", [PERMUTED, SHIFTED, DUPLICATED, SPLIT], ids=lambda case: case.oracle)
def test_no_other_built_in_kernel_claims_the_case(case: Case) -> None:
    assert claiming(case) == GROUPED


@pytest.mark.parametrize("ask", ["out", "lse"])
@pytest.mark.parametrize("case", [PERMUTED, SHIFTED, DUPLICATED], ids=lambda case: case.oracle)
def test_each_result_is_compared_where_it_alone_is_asked_for(ask: str, case: Case) -> None:
    assert record_of("eager", replace(case, ask=ask)).outcome == "passed"  # type: ignore[arg-type]


def test_a_shift_of_keys_is_the_same_under_every_mask() -> None:
    for fields in ({"causal": "bottom-right"}, {"causal": "top-left"}, {"block_shape": (16, 32), "sparsity": 0.5}):
        record = record_of("eager", replace(SHIFTED, query_length=150, **fields))  # type: ignore[arg-type]
        assert record.outcome == "passed", record.reason


class DropsTheLastKey(TileLoop):
    """The last key is taken for padding."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return (key >= keys.stop) | (key >= problem.key_length - 1)


class LeaksTheTail(TileLoop):
    """Padding of the last tile keeps its logit of 0."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return torch.zeros_like(key, dtype=torch.bool)


class ForgetsToRescale(TileLoop):
    """The accumulator is not rescaled where the maximum grows."""

    def update(self, problem: Problem, state: State, scores: Tensor, value: Tensor) -> None:
        acc = state.acc.clone()
        super().update(problem, state, scores, value)
        fresh = self.probabilities(problem, self.exp(scores - state.maximum.masked_fill(state.maximum.isneginf(), 0.0)))
        state.acc = acc + self.product(fresh, value)


class LogarithmOfBaseTwo(TileLoop):
    """The log-sum-exp in base 2."""

    split_count = 1

    def log_sum_exp(self, state: State) -> Tensor:
        return super().log_sum_exp(state) / math.log(2)


class ScaleOffByAPercent(TileLoop):
    """The scale is not the one asked for."""

    def scale(self, problem: Problem) -> float:
        return problem.scale * 1.01


@pytest.mark.parametrize(
    ("kernel", "case", "says"),
    [
        (DropsTheLastKey, PERMUTED, "keys permuted: out: row RMS"),
        (ForgetsToRescale, replace(PERMUTED, recipe="growing"), "keys permuted: out: row RMS"),
        (DropsTheLastKey, replace(PERMUTED, ask="lse"), "keys permuted: lse: off by"),
        (LeaksTheTail, SHIFTED, "a vector added to every key: out: row RMS"),
        (ScaleOffByAPercent, SHIFTED, "a vector added to every key: lse: off by"),
        (LogarithmOfBaseTwo, SHIFTED, "a vector added to every key: lse: off by"),
        (LogarithmOfBaseTwo, DUPLICATED, "every key twice: lse: off by +0.307"),
        (LeaksTheTail, DUPLICATED, "every key twice: out: row RMS"),
        (DropsTheLastKey, SPLIT, "keys split and merged: out: row RMS"),
        (LogarithmOfBaseTwo, SPLIT, "keys split and merged: out: row RMS"),
        (LeaksTheTail, replace(SPLIT, ask="lse"), "keys split and merged: lse: off by"),
    ],
)
def test_a_planted_bug_breaks_the_relation(kernel: type[TileLoop], case: Case, says: str) -> None:
    assert relation_on(kernel(), case).summary.startswith(says)


def test_a_kernel_that_raises_on_the_related_problem_is_red_in_the_words_of_the_relation() -> None:
    class Raises(TileLoop):
        def query_tiles(self, problem: Problem):  # type: ignore[no-untyped-def]
            if problem.key_length > 131:
                raise RuntimeError("too many keys")
            return super().query_tiles(problem)

    assert relation_on(Raises(), DUPLICATED).summary.startswith("every key twice: the kernel raised RuntimeError")


def test_nan_on_both_sides_is_not_agreement() -> None:
    class Nan(TileLoop):
        def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
            return super().load_value(problem, inputs, lane, keys) * math.nan

    assert not relation_on(Nan(), PERMUTED).passed


@pytest.mark.parametrize("tile", [16, 32, 64])
def test_keys_are_cut_inside_a_tile(tile: int) -> None:
    cuts = {length: cut_of(length) for length in range(2, 600)}
    assert [length for length, cut in cuts.items() if not 0 < cut < length or cut % tile == 0] == []


def test_the_parts_end_in_one_partial_tile_more_than_the_whole() -> None:
    # A whole that ends with one key of a tile is the exception: no cut adds a tile.
    for length in (length for length in range(2, 600) if length % 64 != 1):
        cut = cut_of(length)
        assert -(-cut // 64) - (cut - length) // 64 == -(-length // 64) + 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("size", [1e-3, 1.0, 2000.0])
def test_sums_on_the_grid_are_exact(dtype: torch.dtype, size: float) -> None:
    tensor = coarse((torch.randn(50, 8) * size).to(dtype))
    other = drawn(tensor, (50, 8), torch.Generator().manual_seed(1))
    assert torch.equal((tensor + other).double(), tensor.double() + other.double())


def test_the_grid_only_rounds() -> None:
    tensor = torch.randn(50, 8)
    assert float((coarse(tensor) - tensor).abs().max()) <= float(tensor.abs().max()) / 64
