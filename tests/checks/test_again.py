"""The same problem again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from planted import record_of, verdict_on
from torch import Tensor

from pytest_attn.kernels.kernel import Output, PreparedRun
from pytest_attn.kernels.resolve import BUILT_IN
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

CASE = Case(70, 70, head_dim=16, query_heads=2, dtype="bfloat16", oracle="again")
ONE_BIT = 2**-22
"""Changes the last bits of a float32, far below what the judge allows."""


class ChangesLaterCalls(TileLoop):
    """Every call of one prepared run after the first returns another LSE (a workspace that is not cleared)."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def prepare(self, problem: Problem, inputs: Inputs) -> PreparedRun:
        calls = []

        def run() -> Output:
            result = self.run(problem, inputs)
            assert result.lse is not None
            calls.append(1)
            if len(calls) > 1:
                result.lse[0, 1, 7:] *= self.factor
            return result

        return run


class ReadsItsAddress(TileLoop):
    """What is computed depends, by a bit or two, on where the inputs lie."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        result = super().run(problem, inputs)
        assert result.lse is not None
        result.lse[0, 0, 3] *= 1.0 + ONE_BIT * self.seen.setdefault(inputs.key.data_ptr(), len(self.seen))
        return result


class ReusesItsOutput(TileLoop):
    """Right, in one buffer for all calls of a prepared run."""

    def prepare(self, problem: Problem, inputs: Inputs) -> PreparedRun:
        result = self.run(problem, inputs)

        def run() -> Output:
            result.out.copy_(self.run(problem, inputs).out)
            return result

        return run


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_kernel_gives_the_same_bits_again(name: str) -> None:
    assert record_of(name, replace(CASE, query_heads=1, key_heads=1)).outcome == "passed"


def test_a_changed_bit_of_a_later_call_is_red_where_determinism_is_claimed() -> None:
    verdict = verdict_on(ChangesLaterCalls(1 + ONE_BIT), CASE)
    expected = "second call of a prepared run: lse: 63 of 140 rows differ, first at batch 0, head 1, row 7"
    assert verdict.summary.startswith(expected)


def test_a_changed_bit_of_a_later_call_is_right_where_determinism_is_not_claimed() -> None:
    assert verdict_on(ChangesLaterCalls(1 + ONE_BIT), CASE, deterministic=False).passed


def test_a_wrong_later_call_is_red_where_determinism_is_not_claimed() -> None:
    verdict = verdict_on(ChangesLaterCalls(1.01), CASE, deterministic=False)
    assert verdict.summary.startswith("second call of a prepared run: lse: off by")


def test_a_result_that_depends_on_the_address_of_an_input_is_red() -> None:
    verdict = verdict_on(ReadsItsAddress(), CASE)
    assert verdict.summary.startswith("run prepared for a copy of the inputs in other memory: lse: 1 of 140 rows")


def test_a_wrong_first_call_is_judged_by_its_values() -> None:
    class Zeros(TileLoop):
        def run(self, problem: Problem, inputs: Inputs) -> Output:
            return Output(torch.zeros(problem.out_shape, dtype=problem.dtype), torch.zeros(problem.lse_shape))

    assert verdict_on(Zeros(), CASE).summary.startswith("out: row RMS")


def test_a_kernel_that_reuses_its_output_buffer_is_right() -> None:
    assert verdict_on(ReusesItsOutput(), CASE).passed


GRADIENTS = Case(70, 70, head_dim=16, query_heads=2, dtype="float32", ask="grad", oracle="again")


class AddsInAnotherOrder(BackwardLoop):
    """Tiles of 64 keys and tiles of 32 by turns: right every time, and not the same bits."""

    def new_gradient(self, *shape: int) -> Tensor:
        self.key_tile = {64: 32, 32: 64}[self.key_tile]
        return super().new_gradient(*shape)


def test_gradients_of_other_bits_are_seen_where_a_kernel_claims_to_be_deterministic() -> None:
    verdict = verdict_on(AddsInAnotherOrder(), GRADIENTS, backward=True)
    assert verdict.findings[0].what == "again"
    assert "dq: " in verdict.summary


def test_gradients_of_other_bits_that_are_right_pass_where_nothing_is_claimed() -> None:
    assert verdict_on(AddsInAnotherOrder(), GRADIENTS, backward=True, deterministic=False).passed
