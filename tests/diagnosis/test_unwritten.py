"""Memory that a kernel never writes is named, whatever it happens to hold."""

from __future__ import annotations

import pytest
import torch
from failing import phrase_of
from torch import Tensor

from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Kernel, Output, as_kernel, kernel
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.split_loop import SplitLoop
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop

CASE = "b1-h2-s100x70-d32-float32-both-exact"
RANDOM = torch.Generator().manual_seed(0)


class Held(TileLoop):
    """Rows of a last partial tile are not written; an ordinary call finds `garbage` in fresh memory."""

    query_tile = 64
    garbage: float | None = None

    def allocate(self, problem: Problem, inputs: Inputs) -> Output:
        output = super().allocate(problem, inputs)
        if not torch.are_deterministic_algorithms_enabled():
            self.hold(problem, inputs, output)
        return output

    def hold(self, problem: Problem, inputs: Inputs, output: Output) -> None:
        """What the memory holds before the kernel writes."""
        if self.garbage is None:
            output.out.normal_(generator=RANDOM)
        else:
            output.out.fill_(self.garbage)

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        if len(rows) == self.query_tile:
            super().store_out(problem, out, lane, rows, part)


@pytest.mark.parametrize("held", [None, 0.0, 1.5, torch.nan, torch.inf])
def test_rows_that_are_never_written_are_named_whatever_they_hold(held: float | None) -> None:
    class Holding(Held):
        garbage = held

    assert phrase_of(Holding, CASE) == "rows 64-99 of out are never written"


def test_rows_that_hold_the_right_result_of_an_earlier_call_are_named() -> None:
    class HoldingTheResult(Held):
        def hold(self, problem: Problem, inputs: Inputs, output: Output) -> None:
            output.out.copy_(TileLoop().run(problem, inputs).out)

    assert phrase_of(HoldingTheResult, CASE) == "rows 64-99 of out are never written"


def test_an_lse_that_is_never_written_is_named_whatever_it_holds() -> None:
    class WithoutLse(Held):
        def hold(self, problem: Problem, inputs: Inputs, output: Output) -> None:
            assert output.lse is not None
            output.lse.fill_(4.25)

        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            TileLoop.store_out(self, problem, out, lane, rows, part)

        def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
            if len(rows) == self.query_tile:
                super().store_lse(problem, lse, lane, rows, part)

    assert phrase_of(WithoutLse, CASE) == "rows 64-99 of lse are never written"


@pytest.mark.parametrize("loop", [VariantLoop, SplitLoop])
@pytest.mark.parametrize("held", [None, 0.0])
def test_they_are_named_beside_a_variant(loop: type[VariantLoop], held: float | None) -> None:
    class Holding(Held, loop):  # type: ignore[misc, valid-type]
        garbage = held

    splits = "-splits2" if loop is SplitLoop else "-softcap2"
    assert phrase_of(Holding, f"b1-h2-s100x70-d32-float32{splits}-both-exact") == "rows 64-99 of out are never written"


@pytest.mark.parametrize("held", [0.0, 0.5, torch.nan])
def test_rows_of_a_gradient_that_are_never_written_are_named(held: float) -> None:
    class WithoutLastRows(BackwardLoop):
        def gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
            right = super().gradients(problem, inputs, forward)
            dk = torch.empty_like(right.dk)
            if not torch.are_deterministic_algorithms_enabled():
                dk.fill_(held)
            dk[:, :, :64] = right.dk[:, :, :64]
            return right._replace(dk=dk)

    found = phrase_of(WithoutLastRows, "b1-h2-s100x70-d32-float32-grad-exact")
    assert found == "rows 64-69 of dk are never written"


@pytest.mark.parametrize("held", [0.5, torch.nan])
def test_a_sum_that_starts_from_fresh_memory_is_named(held: float) -> None:
    def added(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        out = torch.empty_like(query)
        if not torch.are_deterministic_algorithms_enabled():
            out.fill_(held)
        return out.add_((query @ key.mT * scale).softmax(dim=3) @ value)

    found = phrase_of(as_kernel(added, "added"), "b1-h2-s100x70-d32-float32-out-exact")
    assert found == "the result is added to memory that nobody has set to 0"


def test_rows_that_a_custom_operator_never_writes_are_named() -> None:
    found = phrase_of(_behind_an_operator(), "b1-h2-s100x70-d32-float32-out-exact")
    assert found == "rows 64-99 of out depend on memory that the kernel allocates and does not write"


def _behind_an_operator() -> Kernel:
    """Attention inside a custom operator, whose allocations no dispatch mode sees."""

    @torch.library.custom_op("planted::last_rows_unwritten", mutates_args=())
    def operator(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        out = torch.empty_like(query)
        if not torch.are_deterministic_algorithms_enabled():
            out.fill_(0.5)
        out[:, :, :64] = (query[:, :, :64] @ key.mT * scale).softmax(dim=3) @ value
        return out

    @kernel(name="operator")
    def run(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        return operator(query, key, value, scale)

    return run
