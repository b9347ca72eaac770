"""What a kernel reads or leaves where it must not."""

from __future__ import annotations

import torch
from failing import diagnosis_of, phrase_of
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.bounds import Filling
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop

CASE = "b1-h2-s100x70-d32-float32-both-exact"


class LastRowsSkipped(TileLoop):
    """Rows of a last partial tile are not written."""

    query_tile = 64

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        if len(rows) == self.query_tile:
            super().store_out(problem, out, lane, rows, part)


def test_rows_that_are_never_written_are_named() -> None:
    assert phrase_of(LastRowsSkipped, CASE) == "rows 64-99 of out are never written"


def test_rows_of_a_given_output_that_are_never_written_are_named() -> None:
    class LastRowsNotFilled(LastRowsSkipped, Filling):
        pass

    assert phrase_of(LastRowsNotFilled, CASE) == "rows 64-99 of out are never written"


def test_rows_of_zeros_are_named() -> None:
    class Cleared(LastRowsSkipped):
        def allocate(self, problem: Problem, inputs: Inputs) -> Output:
            output = super().allocate(problem, inputs)
            output.out.zero_()
            return output

    assert phrase_of(Cleared, CASE) == "rows 64-99 of out are 0, the others right"


def test_numbers_that_the_kernel_made_are_not_taken_for_unwritten_memory() -> None:
    found = diagnosis_of(find_mutants(["one-not-a-number"])[0].kernel, CASE)
    assert found is not None
    assert found.kind == "not finite"


def test_memory_read_beside_the_inputs_is_told_from_numbers_that_are_none() -> None:
    class ReadsOn(TileLoop):
        def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
            value = inputs.value
            beyond = value.as_strided((1,), (1,), value.storage_offset() + value.numel())
            return super().load_value(problem, inputs, lane, keys) + 0.0 * beyond

    found = diagnosis_of(ReadsOn, CASE)
    assert found is not None
    assert found.kind == "out of bounds"


def test_an_overflow_goes_away_with_smaller_inputs() -> None:
    class Overflowing(TileLoop):
        def product(self, weights: Tensor, value: Tensor) -> Tensor:
            return (64 * super().product(weights, value)).half().float() / 64

    found = phrase_of(Overflowing, "b1-h1-s40x70-d32-float16-largevalue-out-exact")
    assert found.endswith("finite with values divided by 1024")


def test_values_read_with_the_strides_of_the_keys_are_named_where_the_head_dims_differ() -> None:
    found = phrase_of(find_mutants(["value-read-with-key-strides"])[0].kernel, "b1-h1-s40x70-d32x64-float32-out-exact")
    assert found == "values are read with the strides of the keys: 32 elements a row, expected 64"


def test_a_result_that_changes_from_run_to_run_is_stale() -> None:
    class Counting(TileLoop):
        calls = 0

        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            Counting.calls += 1
            super().store_out(problem, out, lane, rows, Part(part.out + 0.1 * self.calls, part.lse))

    assert phrase_of(Counting, CASE) == "two runs on the same inputs give different results"


def test_a_wrong_call_of_a_sequence_names_what_was_new_in_it() -> None:
    found = phrase_of(find_mutants(["scale-of-first-call"])[0].kernel, "b1-h2-s40x70-d32-float32-both-sequence")
    assert found.startswith("scale 0.08839 after 0.1768: wrong after the calls before")


def test_a_bug_that_a_sequence_finds_by_chance_is_named_as_what_it_is() -> None:
    found = diagnosis_of(find_mutants(["diagonal-one-too-far"])[0].kernel, "b1-h2-s40x70-d32-float32-both-sequence")
    assert found is not None
    assert found.kind == "causal diagonal"


def test_a_result_that_does_not_depend_on_the_values_is_no_attention() -> None:
    class Constant(TileLoop):
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_out(problem, out, lane, rows, Part(torch.full_like(part.out, 0.25), part.lse))

    assert phrase_of(Constant, CASE) == "out is the same whatever the values are"
