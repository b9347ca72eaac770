"""Sums of many terms: in chains of which length they are added, and how much that rounds.

The derivation is the docstring of `pytest_attn.judge.budget.rounding`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.judge.calibration import SHORTEST_CHAIN
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.problem import Problem


def longest_chain(numerics: Numerics, problem: Problem, terms: Tensor) -> Tensor:
    """The longest chain of a product that sums so many terms."""
    chain = numerics.chain or problem.data_type.chain
    return terms if chain is None else terms.clamp_max(chain)


def row_roundings(numerics: Numerics, problem: Problem, terms: Tensor) -> tuple[Tensor, Tensor]:
    """(walk, steady) of a sum along a row without a product."""
    if numerics.row_chain is None:
        return roundings(terms, longest_chain(numerics, problem, terms))
    return roundings(terms, terms.clamp_max(numerics.row_chain))


def roundings(terms: Tensor, chain: Tensor) -> tuple[Tensor, Tensor]:
    """(walk, steady): squared roundings of a sum, in units of its random part and of its steady part."""
    lengths = [chain, (chain / SHORTEST_CHAIN).clamp_min(1)]
    walks = [(length + terms / length) / 2 for length in lengths]
    steadies = [length * length / (3 * terms) + terms / (3 * length) for length in lengths]
    return torch.maximum(*walks), torch.maximum(*steadies)


def row_additions(numerics: Numerics, problem: Problem, terms: Tensor) -> Tensor:
    """The most additions to the running sum along a row without a product, of chains and of their results."""
    longest = numerics.row_chain
    chain = longest_chain(numerics, problem, terms) if longest is None else terms.clamp_max(longest)
    lengths = [chain, (chain / SHORTEST_CHAIN).clamp_min(1)]
    return torch.maximum(*(length + terms / length for length in lengths))
