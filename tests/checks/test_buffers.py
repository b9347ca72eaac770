"""Memory around tensors: what is read or written beyond them shows."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.checks.buffers import MARGIN, GuardedInputs, guard
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Layout

SOURCE = torch.randn(2, 3, 5, 8)
LAYOUTS: tuple[Layout, ...] = ("contiguous", "strided")


def inputs() -> Inputs:
    return Inputs.draw(Problem.of(Case(5, 7, head_dim=8, query_heads=2, dtype="bfloat16")), seed=1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_guarded_tensor_holds_the_source(layout: Layout) -> None:
    guarded = guard(SOURCE, layout, torch.Generator().manual_seed(1))
    assert torch.equal(guarded.tensor, SOURCE)
    assert guarded.intact


@pytest.mark.parametrize("layout", LAYOUTS)
def test_everything_around_a_guarded_tensor_is_nan(layout: Layout) -> None:
    guarded = guard(SOURCE, layout, torch.Generator().manual_seed(1))
    assert int((~guarded.buffer.isnan()).sum()) == SOURCE.numel()
    assert bool(guarded.buffer[:MARGIN].isnan().all())
    assert bool(guarded.buffer[-MARGIN:].isnan().all())


def test_a_contiguous_layout_is_contiguous() -> None:
    assert guard(SOURCE).tensor.is_contiguous()


def test_a_strided_layout_has_gaps_and_a_last_stride_of_one() -> None:
    drawn = [guard(SOURCE, "strided", torch.Generator().manual_seed(seed)).tensor for seed in range(8)]
    assert {tensor.stride(3) for tensor in drawn} == {1}
    assert not any(tensor.is_contiguous() for tensor in drawn)
    assert len({tensor.stride() for tensor in drawn}) > 4


def test_query_key_and_value_have_strides_of_their_own() -> None:
    given = GuardedInputs.of(inputs(), "strided", seed=1).inputs
    assert len({given.query.stride(), given.key.stride(), given.value.stride()}) == 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_seed_gives_one_layout(layout: Layout) -> None:
    first, second = (GuardedInputs.of(inputs(), layout, seed=3).inputs for _ in range(2))
    assert first.key.stride() == second.key.stride()


def test_a_read_beyond_the_last_row_gives_nan() -> None:
    key = GuardedInputs.of(inputs()).inputs.key
    beyond = key.as_strided((1, 8), (8, 1), key.storage_offset() + key.numel())
    assert bool(beyond.isnan().all())


@pytest.mark.parametrize("place", [-1, 0, 2 * 7 * 8])
def test_a_write_within_or_beside_an_input_is_named(place: int) -> None:
    given = GuardedInputs.of(inputs())
    assert given.written() is None
    given.value.buffer[MARGIN + place] = 0.5
    assert given.written() == "value"


def test_a_write_into_a_gap_between_rows_is_named() -> None:
    given = GuardedInputs.of(inputs(), "strided", seed=1)
    gap = int(given.key.buffer[MARGIN:].isnan().nonzero()[0])
    given.key.buffer[MARGIN + gap] = 0.0
    assert given.written() == "key"


def test_a_refill_keeps_the_memory_and_changes_the_contents() -> None:
    problem = Problem.of(Case(5, 7, head_dim=8, query_heads=2, dtype="bfloat16"))
    other = Inputs.draw(problem, seed=2)
    before = GuardedInputs.of(inputs(), "strided", seed=1)
    after = before.refill(other)
    assert after.inputs.query.data_ptr() == before.inputs.query.data_ptr()
    assert after.inputs.equal(other)
    assert after.inputs.key_of_content == other.key_of_content
    assert after.written() is None


def test_a_view_of_an_input_is_found_to_share_its_memory() -> None:
    given = GuardedInputs.of(inputs())
    assert given.aliased(given.inputs.key[:, :1]) == "key"
    assert given.aliased(given.inputs.key.clone()) is None
