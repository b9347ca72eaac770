"""The built-in kernels, on problems that are small and awkward."""

from __future__ import annotations

import pytest
import torch

import pytest_attn
from pytest_attn.kernels.builtin.block_sparse import query_blocks
from pytest_attn.kernels.resolve import BUILT_IN, find_kernel
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_kernel_is_right_wherever_it_claims_to_be(name: str) -> None:
    records = pytest_attn.check_kernel(name, sweep="smoke")
    assert [record.message for record in records if record.outcome == "failed"] == []
    assert sum(record.ran for record in records) >= 90


@pytest.mark.parametrize("name", ["eager", "block_sparse"])
def test_a_query_block_without_keys_is_zero_with_lse_minus_infinity(name: str) -> None:
    blocks = torch.ones(1, 2, 3, 2, dtype=torch.bool)
    blocks[0, 1, 1] = False
    mask = BlockSparse(BlockMask(blocks, (64, 64), 150, 100))
    problem = Problem(1, 2, 2, 150, 100, 32, 32, torch.float32, 0.2, mask)
    returned = find_kernel(name).prepare(problem, Inputs.draw(problem, seed=1))()
    out, lse = returned if isinstance(returned, tuple) else (returned.out, returned.lse)
    assert bool((out[0, 1, 64:128] == 0).all())
    assert bool(torch.isneginf(lse[0, 1, 64:128]).all())
    assert bool(torch.isfinite(lse[0, 0]).all())


def test_query_blocks_name_every_row_once_and_join_neighbouring_key_blocks() -> None:
    blocks = torch.tensor([[[[True, True, False, True], [False, False, True, False]]]])
    found = {block.rows.start: block for block in query_blocks(BlockMask(blocks, (100, 64), 130, 200))}
    assert found[0].rows == slice(0, 100)
    assert found[0].spans == (slice(0, 128), slice(192, 200))
    assert found[0].keys == 136
    assert found[100].rows == slice(100, 130)
    assert found[100].spans == (slice(128, 192),)


def test_a_run_can_be_repeated() -> None:
    problem = Problem(1, 1, 1, 100, 130, 32, 32, torch.float32, 0.2)
    for name in BUILT_IN:
        run = find_kernel(name).prepare(problem, Inputs.draw(problem, seed=1))
        first = pytest_attn.Output(*run()) if isinstance(run(), tuple) else run()
        kept = first.out.clone()
        again = pytest_attn.Output(*run()) if isinstance(run(), tuple) else run()
        assert torch.equal(again.out, kept)
