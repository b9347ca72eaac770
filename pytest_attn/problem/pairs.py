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
    return _causal_or_dense(case) * case.batch * case.query_heads


def flops(case: Case) -> int:
    """Floating-point operations: 2 (D + Dv) per pair that may attend; softmax not counted. Where gradients are asked
    for, 2 (3 D + 2 Dv) more for the five products of the backward pass."""
    return pairs(case) * _flops_of_a_pair(case)


def estimated_flops(case: Case) -> float:
    """What `flops` counts, without drawing a block pattern or making a mask: block patterns are their mean over all
    seeds, a causal mask leaves the same share of them as of everything, and variants leave out nothing."""
    if case.unsatisfiable:
        return 0.0
    per_head = float(_causal_or_dense(case))
    if case.pattern is not None:
        per_head *= _mean_of_a_pattern(case, case.pattern) / (case.query_length * case.key_length)
    return per_head * case.batch * case.query_heads * _flops_of_a_pair(case)


def _flops_of_a_pair(case: Case) -> int:
    backward = 2 * (3 * case.head_dim + 2 * case.value_dim) if case.ask == "grad" else 0
    return 2 * (case.head_dim + case.value_dim) + backward


def _causal_or_dense(case: Case) -> int:
    """Pairs of one head, blocks and variants apart."""
    if case.causal is None:
        return case.query_length * case.key_length
    offset = case.key_length - case.query_length if case.causal == "bottom-right" else 0
    # Of the rows that see a key, the first sees max(offset + 1, 1), each further one more until all are seen.
    seeing = min(case.query_length, case.query_length + offset)
    if seeing <= 0:
        return 0
    first, last = max(offset + 1, 1), case.query_length + offset
    beyond = max(last - case.key_length, 0)
    return (first + last) * seeing // 2 - beyond * (beyond + 1) // 2


def _mean_of_a_pattern(case: Case, pattern: BlockPattern) -> float:
    """Pairs of one head, on average over the seeds of a pattern."""
    query_block, key_block = pattern.block_shape
    last = pattern.cols - 1
    tail = case.key_length - last * key_block
    forced = sum(tail if column == last else key_block for column in pattern.forced_cols)
    free = pattern.cols - len(pattern.forced_cols)
    drawn = pattern.extra / free * (case.key_length - forced) if free else 0.0
    whole = sum(min(query_block, case.query_length - row * query_block) for row in pattern.dense_rows)
    return whole * case.key_length + (case.query_length - whole) * (forced + drawn)


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
