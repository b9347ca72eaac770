"""How the block-sparse kernel cuts its work."""

from __future__ import annotations

import torch

from pytest_attn.kernels.builtin.block_sparse import query_blocks
from pytest_attn.problem.block_mask import BlockMask


def test_query_blocks_name_every_row_once_and_join_neighbouring_key_blocks() -> None:
    blocks = torch.tensor([[[[True, True, False, True], [False, False, True, False]]]])
    found = {block.rows.start: block for block in query_blocks(BlockMask(blocks, (100, 64), 130, 200))}
    assert found[0].rows == slice(0, 100)
    assert found[0].spans == (slice(0, 128), slice(192, 200))
    assert found[0].keys == 136
    assert found[100].rows == slice(100, 130)
    assert found[100].spans == (slice(128, 192),)
