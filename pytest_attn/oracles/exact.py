"""The exact oracle: the streaming engine behind a cache that shares what cells have in common."""

from __future__ import annotations

from dataclasses import replace

import torch

from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.gradients import stream_gradients
from pytest_attn.oracles.key_block_lse import KEY_BLOCK, KeyBlockTable, key_block_table, merge
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Dense
from pytest_attn.problem.problem import Problem

MOST_TABLE_BYTES = 1 << 29
"""A table of key-block LSEs larger than this is not worth its memory; the cell is streamed instead."""


def exact(problem: Problem, inputs: Inputs, cache: ReferenceCache) -> Reference:
    """out, lse and moments of a problem, one precision above its inputs, and its gradients where they are asked for.

    References are cached by inputs, scale and mask; a block mask that keeps everything counts as dense, so that all
    block shapes share one. Where only the LSE of a block mask is asked for, it is merged from the table of its shape.
    """
    mask = problem.mask
    if problem.variants and not problem.wants_grad:
        words = "-".join(variant.token for variant in problem.variants)
        content = f"exact|{inputs.key_of_content}|{problem.scale!r}|{mask.key}|{words}|{problem.ask == 'lse'}"
        return Reference.of_tensors("exact", cache.get(content, lambda: stream(problem, inputs).tensors()))
    if isinstance(mask, BlockSparse):
        if mask.keeps_all:
            problem = replace(problem, mask=Dense())
        elif problem.ask == "lse" and _table_serves(problem, mask):
            dense = replace(problem, mask=Dense())
            content = f"table|{inputs.key_of_content}|{problem.scale!r}"
            table = cache.get(content, lambda: key_block_table(dense, inputs)._asdict())
            return merge(KeyBlockTable(**table), mask.block_mask)
    if problem.wants_grad:
        content = f"gradients|{inputs.key_of_content}|{problem.scale!r}|{problem.mask.key}"
        return Reference.of_tensors("exact", cache.get(content, lambda: with_gradients(problem, inputs).tensors()))
    content = f"exact|{inputs.key_of_content}|{problem.scale!r}|{problem.mask.key}|{problem.ask == 'lse'}"
    return Reference.of_tensors("exact", cache.get(content, lambda: stream(problem, inputs).tensors()))


def with_gradients(problem: Problem, inputs: Inputs) -> Reference:
    """Output, LSE and gradients; of float64 throughout, which is what the oracle takes for float32."""
    forward = stream(replace(problem, ask="both", dtype=torch.float32), inputs)
    return replace(forward, grads=stream_gradients(problem, inputs, forward))


def _table_serves(problem: Problem, mask: BlockSparse) -> bool:
    columns = -(-problem.key_length // KEY_BLOCK)
    size = problem.batch * problem.query_heads * problem.query_length * columns * problem.oracle_dtype.itemsize
    return mask.block_mask.block_shape[1] % KEY_BLOCK == 0 and size <= MOST_TABLE_BYTES
