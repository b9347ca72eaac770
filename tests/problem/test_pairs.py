"""Pairs that may attend, counted and estimated."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import FrameWidths
from pytest_attn.problem.pairs import estimated_flops, flops, pairs
from pytest_attn.problem.problem import Problem

PATTERN = Case(300, 500, sparsity=0.5, block_shape=(32, 64), frame=FrameWidths(1, 0, 1, 0), query_heads=64)


@pytest.mark.parametrize("causal", [None, "bottom-right", "top-left"])
def test_the_pairs_of_a_causal_mask_are_those_of_its_tensor(causal: str | None) -> None:
    for queries, keys in product(range(1, 9), repeat=2):
        case = Case(queries, keys, causal=causal, batch=2, query_heads=3)
        mask = Problem.of(case).mask
        allowed = mask.allowed(Problem.of(case).lengths, 0, 0, range(queries), range(keys))
        assert pairs(case) == 6 * int(torch.as_tensor(allowed).expand(queries, keys).sum()), case.id


@pytest.mark.parametrize("ask", ["both", "grad"])
def test_without_blocks_and_variants_an_estimate_is_exact(ask: str) -> None:
    case = Case(100, 300, causal="bottom-right", ask=ask)
    assert estimated_flops(case) == flops(case)


def test_an_estimate_of_blocks_is_their_mean_over_many_heads() -> None:
    assert math.isclose(estimated_flops(PATTERN), flops(PATTERN), rel_tol=0.005)


def test_where_the_last_block_is_whole_an_estimate_of_blocks_is_exact() -> None:
    case = Case(300, 512, sparsity=0.5, block_shape=(32, 64))
    assert math.isclose(estimated_flops(case), flops(case))


def test_what_cannot_exist_costs_nothing() -> None:
    assert estimated_flops(Case(64, 64, sparsity=0.9, block_shape=(64, 64))) == 0.0
