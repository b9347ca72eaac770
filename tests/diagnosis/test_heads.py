"""Which head each query head reads, and how much of its columns."""

from __future__ import annotations

import torch
from failing import phrase_of
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop

CASE = "b1-h4-kv2-s40x70-d32-float32-both-exact"


def reading(mapping: list[int]) -> type[TileLoop]:
    class Reading(TileLoop):
        def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
            return torch.tensor(mapping)[lane.heads]

    return Reading


def test_the_first_head_that_reads_another_is_named() -> None:
    assert phrase_of(reading([0, 1, 1, 1]), CASE) == (
        "query head 1 reads key head 1, expected 0 (1 of 4 query heads are wrong)"
    )


def test_a_head_that_reads_the_values_of_another_is_named() -> None:
    class OtherValues(TileLoop):
        def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
            return super().load_value(problem, inputs, lane, keys).flip(1)

    assert phrase_of(OtherValues, CASE).startswith("query head 0 reads value head 1, expected 0")


def test_a_head_that_reads_the_keys_of_another_is_named() -> None:
    class OtherKeys(TileLoop):
        def load_key(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
            return super().load_key(problem, inputs, lane, keys).flip(1)

    assert phrase_of(OtherKeys, CASE).startswith("query head 0 reads key head 1, expected 0")


def test_the_batch_is_named_where_it_is_another() -> None:
    found = phrase_of(find_mutants(["first-batch-for-all"])[0].kernel, "b2-h1-s40x70-d32-float32-both-exact")
    assert found.startswith("batch 1, query head 0 reads key head 0 of batch 0, expected 0")


def test_outputs_in_each_other_s_place_are_named() -> None:
    class Swapped(TileLoop):
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_out(problem, out, lane, rows, Part(part.out.flip(1), part.lse))

    assert phrase_of(Swapped, CASE) == "out of head 0 is that of head 3"


def test_columns_that_are_left_out_of_the_logits_are_counted() -> None:
    class FortyEight(TileLoop):
        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            return super().scores(query[..., :64], key[..., :64])

    assert phrase_of(FortyEight, "b1-h1-s40x70-d72-float32-both-exact") == (
        "the logits are products of the first 64 columns only, of 72"
    )


def test_columns_that_change_places_are_named() -> None:
    class Flipped(TileLoop):
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_out(problem, out, lane, rows, Part(part.out.roll(3, dims=3), part.lse))

    assert phrase_of(Flipped, CASE).startswith("column 0 of out holds column 29 of the values")


def test_an_output_in_another_layout_is_named() -> None:
    class RowsFirst(TileLoop):
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            other = out.view(problem.batch, problem.query_length, problem.query_heads, problem.value_dim)
            super().store_out(problem, other.transpose(1, 2), lane, rows, part)

    assert phrase_of(RowsFirst, CASE) == "out is stored as [B, Sq, H, Dv]"
