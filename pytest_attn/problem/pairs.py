"""How many (query, key) pairs of a case may attend, and what they cost."""

from __future__ import annotations

from functools import cache

from pytest_attn.problem.case import Case
from pytest_attn.problem.pattern import BlockPattern


@cache
def pairs(case: Case) -> int:
    """Exact number of (query, key) pairs that may attend, over all batches and query heads; 0 where the case is
    unsatisfiable."""
    if case.unsatisfiable:
        return 0
    if case.variants or (case.pattern is not None and case.causal is not None):
        return _of_several_masks(case)
    if case.pattern is not None:
        return sum(_of_a_pattern(case, case.pattern, seed) for seed in case.head_seeds())
    per_head = case.query_length * case.key_length
    if case.causal is not None:
        offset = case.key_length - case.query_length if case.causal == "bottom-right" else 0
        per_head = sum(min(max(i + offset + 1, 0), case.key_length) for i in range(case.query_length))
    return per_head * case.batch * case.query_heads


def flops(case: Case) -> int:
    """Floating-point operations: 2 (D + Dv) per pair that may attend; softmax not counted. Where gradients are asked
    for, 2 (3 D + 2 Dv) more for the five products of the backward pass."""
    forward = 2 * (case.head_dim + case.value_dim) * pairs(case)
    backward = 2 * (3 * case.head_dim + 2 * case.value_dim) * pairs(case)
    return forward + (backward if case.ask == "grad" else 0)


def _of_several_masks(case: Case) -> int:
    # Masks are torch's; the cases of one mask, and so the sweeps that are published, need none.
    from pytest_attn.problem.masks import visible_keys
    from pytest_attn.problem.problem import Problem

    problem = Problem.of(case)
    return int(visible_keys(problem.mask, problem.lengths, case.batch, case.query_heads).sum())


def _of_a_pattern(case: Case, pattern: BlockPattern, seed: int) -> int:
    query_block, key_block = pattern.block_shape
    tail = case.key_length - (pattern.cols - 1) * key_block
    total = 0
    for row, kept in enumerate(pattern.kept(seed)):
        queries = min(query_block, case.query_length - row * query_block)
        last = kept[-1] == pattern.cols - 1
        total += queries * (key_block * (len(kept) - last) + tail * last)
    return total
