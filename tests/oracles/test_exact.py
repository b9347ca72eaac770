"""The exact oracle shares between cells what they have in common, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from pytest_attn.oracles import exact as module
from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.exact import exact
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.frame import BLOCK_SHAPES
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal
from pytest_attn.problem.problem import Problem

DENSE = Problem(1, 2, 1, 40, 600, 8, 8, torch.bfloat16, 0.3)
LSE = replace(DENSE, ask="lse")
INPUTS = Inputs.draw(DENSE, 42)


def blocks(problem: Problem, shape: tuple[int, int], share: float = 1.0, seed: int = 0) -> Problem:
    """The problem under a block mask that keeps each block with probability `share`; all of them only where it is 1."""
    grid = (-(-problem.query_length // shape[0]), -(-problem.key_length // shape[1]))
    kept = torch.rand(problem.batch, problem.query_heads, *grid, generator=torch.Generator().manual_seed(seed)) < share
    kept[0, 0, 0, 0] = share == 1.0
    return replace(problem, mask=BlockSparse(BlockMask(kept, shape, problem.query_length, problem.key_length)))


class Calls:
    """Counts the calls of a function of the exact oracle, and passes them on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.count = 0
        self._wrapped: Callable[..., Any] = getattr(module, name)
        monkeypatch.setattr(module, name, self)

    def __call__(self, *given: Any) -> Any:
        self.count += 1
        return self._wrapped(*given)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch, "stream")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch, "key_block_table")


@pytest.mark.parametrize("ask", ["out", "lse", "both"])
def test_dense_and_16_block_shapes_that_keep_all_share_one_computation(streams: Calls, ask: Any) -> None:
    dense, cache = replace(DENSE, ask=ask), ReferenceCache()
    for problem in (dense, *(blocks(dense, shape) for shape in BLOCK_SHAPES)):
        exact(problem, INPUTS, cache)
    assert streams.count == 1


def test_the_output_alone_shares_with_output_and_lse(streams: Calls) -> None:
    cache = ReferenceCache()
    for ask in ("both", "out", "both"):
        exact(replace(DENSE, ask=ask), INPUTS, cache)
    assert streams.count == 1


def test_after_the_lse_alone_the_output_is_still_computed() -> None:
    cache = ReferenceCache()
    exact(LSE, INPUTS, cache)
    assert exact(DENSE, INPUTS, cache).out is not None


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.4},
        {"mask": Causal()},
        {"mask": Causal("top-left")},
        {"mask": blocks(DENSE, (20, 128), 0.5).mask},
        {"mask": blocks(DENSE, (20, 100), 0.5).mask},
    ],
    ids=["scale", "causal", "top-left", "blocks", "narrow blocks"],
)
def test_another_scale_or_mask_is_computed_anew(streams: Calls, change: dict[str, Any]) -> None:
    cache = ReferenceCache()
    exact(DENSE, INPUTS, cache)
    exact(replace(DENSE, **change), INPUTS, cache)
    assert streams.count == 2


@pytest.mark.parametrize(("seed", "recipe"), [(43, "normal"), (42, "zeros")])
def test_other_inputs_are_computed_anew(streams: Calls, seed: int, recipe: Any) -> None:
    cache = ReferenceCache()
    exact(DENSE, INPUTS, cache)
    exact(DENSE, Inputs.draw(DENSE, seed, recipe), cache)
    assert streams.count == 2


def test_masks_that_differ_in_one_block_have_references_of_their_own(streams: Calls) -> None:
    cache = ReferenceCache()
    for seed in (1, 2):
        exact(blocks(DENSE, (20, 128), 0.5, seed), INPUTS, cache)
    assert streams.count == 2


def test_lse_only_sparse_cells_of_a_shape_share_one_table(tables: Calls, streams: Calls) -> None:
    cache = ReferenceCache()
    for seed, (rows, cols) in enumerate(BLOCK_SHAPES):
        exact(blocks(LSE, (rows // 16, cols), 0.5, seed), INPUTS, cache)
    assert (tables.count, streams.count) == (1, 0)


@pytest.mark.parametrize(("scale", "seed"), [(0.4, 42), (0.3, 43)], ids=["scale", "inputs"])
def test_another_scale_or_other_inputs_need_a_table_of_their_own(tables: Calls, scale: float, seed: int) -> None:
    cache = ReferenceCache()
    exact(blocks(LSE, (20, 128), 0.5), INPUTS, cache)
    exact(blocks(replace(LSE, scale=scale), (20, 128), 0.5), Inputs.draw(LSE, seed), cache)
    assert tables.count == 2


def test_key_blocks_that_no_table_serves_are_streamed(tables: Calls) -> None:
    exact(blocks(LSE, (20, 100), 0.5), INPUTS, ReferenceCache())
    assert tables.count == 0


def test_a_table_that_would_be_too_large_is_not_made(tables: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TABLE_BYTES", 100)
    exact(blocks(LSE, (20, 128), 0.5), INPUTS, ReferenceCache())
    assert tables.count == 0


def test_the_output_of_a_sparse_cell_is_not_taken_from_a_table(tables: Calls) -> None:
    exact(blocks(DENSE, (20, 128), 0.5), INPUTS, ReferenceCache())
    assert tables.count == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(20, 128), (7, 512), (20, 100)])
@pytest.mark.parametrize("ask", ["out", "lse", "both"])
def test_what_is_shared_equals_what_is_streamed(share: float, shape: tuple[int, int], ask: Any) -> None:
    cache = ReferenceCache()
    exact(replace(DENSE, ask=ask), INPUTS, cache)
    problem = blocks(replace(DENSE, ask=ask), shape, share)
    found, expected = exact(problem, INPUTS, cache), stream(problem, INPUTS)
    torch.testing.assert_close(found.lse, expected.lse, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.out, expected.out, atol=1e-5, rtol=1e-5)


def test_a_cell_does_not_change_what_the_next_one_reads() -> None:
    cache, cell = ReferenceCache(), blocks(LSE, (20, 128), 0.5)
    first = exact(cell, INPUTS, cache).lse
    exact(blocks(LSE, (7, 256), 0.5), INPUTS, cache)
    assert torch.equal(exact(cell, INPUTS, cache).lse, first)
