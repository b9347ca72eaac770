"""What a problem needs of a kernel, in the words of capabilities."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_attn.problem.masks import BlockSparse, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Layout

CAUSAL = {"bottom-right": "causal", "top-left": "causal_top_left"}


def needs_of(problem: Problem, device_type: str, layout: Layout = "contiguous") -> tuple[str, ...]:
    """The name of every capability that a problem needs, with a value where it has one: `dtype float16`, `causal`."""
    return tuple(_needs_of(problem, device_type, layout))


def _needs_of(problem: Problem, device_type: str, layout: Layout) -> Iterator[str]:
    yield f"device {device_type}"
    yield f"dtype {problem.data_type.name}"
    yield f"head_dim {problem.head_dim}"
    yield f"key_heads {problem.key_heads}"
    if problem.wants_lse:
        yield "lse"
    if problem.causal:
        yield CAUSAL[problem.causal]
    if problem.group > 1:
        yield "gqa"
    masks = [mask for mask in parts(problem.mask) if isinstance(mask, BlockSparse)]
    if masks:
        yield "block_sparse"
        sizes = dict.fromkeys(size for mask in masks for size in mask.block_mask.block_shape)
        yield from (f"block_sizes {size}" for size in sizes)
        if problem.causal:
            yield "block_sparse_causal"
    yield from (variant.capability for variant in problem.variants)
    if problem.query_length != problem.key_length:
        yield "cross_attention"
    if problem.value_dim != problem.head_dim:
        yield "value_dim"
    if layout != "contiguous":
        yield layout
    if problem.wants_grad:
        yield "backward"
    if abs(problem.scale * problem.head_dim**0.5 - 1.0) >= 1e-12:
        yield "any_scale"
