"""How often a running gradient is stored: tiles that a row or a key has.

The derivation is the docstring of `pytest_attn.judge.budget.gradient_rounding`, where t is this number.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from pytest_attn.judge.budget.precision import is_stored
from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.problem.problem import Problem


def tiles_of_keys(problem: Problem, backward: BackwardNumerics) -> Tensor:
    """t of dQ: tiles of keys after which the gradient of a query is stored, 1 where it is not; `[B, Hq, Sq]`."""
    if not is_stored(backward.stored_gradients, problem):
        return torch.ones(problem.batch, problem.query_heads, problem.query_length, dtype=torch.float64)
    return _tiles(problem, backward.key_tile, of_queries=False)


def tiles_of_queries(problem: Problem, backward: BackwardNumerics) -> Tensor:
    """t of dK and dV: tiles of queries after which the gradient of a key is stored, the most that one head of its group
    has, or all that they have where they add to one; 1 where it is not; `[B, Hkv, Skv]`."""
    if not is_stored(backward.stored_gradients, problem):
        return torch.ones(problem.batch, problem.key_heads, problem.key_length, dtype=torch.float64)
    tiles = _tiles(problem, backward.query_tile, of_queries=True)
    of_heads = tiles.view(problem.batch, problem.key_heads, problem.group, problem.key_length)
    return of_heads.sum(dim=2) if backward.shared_gradients else of_heads.amax(dim=2)


def _tiles(problem: Problem, size: int, *, of_queries: bool) -> Tensor:
    """How many tiles of so many queries each key is seen by, `[B, Hq, Skv]`; or tiles of so many keys each query sees,
    `[B, Hq, Sq]`."""
    lengths = problem.lengths
    cut, whole = (lengths.query, lengths.key) if of_queries else (lengths.key, lengths.query)
    found = torch.zeros(problem.batch, problem.query_heads, whole, dtype=torch.float64)
    for batch, head, start in product(range(problem.batch), range(problem.query_heads), range(0, cut, size)):
        tile = range(start, min(start + size, cut))
        rows, keys = (tile, range(whole)) if of_queries else (range(whole), tile)
        found[batch, head] += problem.mask.allowed(lengths, batch, head, rows, keys).any(dim=0 if of_queries else 1)
    return found.clamp_min(1.0)
