"""Key heads repeated, one head left alone: right kernels agree with themselves, planted bugs do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from planted import GROUPED, cell_of, claiming, record_of, relation_on
from torch import Tensor

from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

EXPANDED = Case(40, 131, head_dim=16, query_heads=4, key_heads=2, oracle="expandedheads")
LONE = replace(EXPANDED, batch=2, oracle="lonehead")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("case", [EXPANDED, LONE], ids=lambda case: case.oracle)
def test_a_built_in_kernel_agrees_with_itself(name: str, case: Case, dtype: str) -> None:
    record = record_of(name, replace(case, dtype=dtype))
    assert record.outcome == "passed", record.reason


@pytest.mark.parametrize("case", [EXPANDED, LONE], ids=lambda case: case.oracle)
def test_no_other_built_in_kernel_claims_the_case(case: Case) -> None:
    assert claiming(case) == GROUPED


def test_a_head_that_shares_its_keys_is_left_alone_too() -> None:
    assert record_of("eager", replace(LONE, batch=1, key_heads=1)).outcome == "passed"


class HeadsByModulo(TileLoop):
    """Query head h reads key head h % Hkv."""

    def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
        return torch.arange(problem.query_heads)[lane.heads] % problem.key_heads


class MaximumOfAllHeads(TileLoop):
    """The softmax is shifted by the maximum of all heads: right but for rounding."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        scores = super().scores(query, key)
        most = scores.amax(dim=1, keepdim=True)
        return scores + most - most


def test_another_order_of_heads_breaks_expanded_heads() -> None:
    assert relation_on(HeadsByModulo(), EXPANDED).summary.startswith("key heads repeated: out: row RMS")


def test_a_bit_that_other_heads_change_breaks_lone_head() -> None:
    summary = relation_on(MaximumOfAllHeads(), LONE).summary
    assert summary.startswith("all but batch ")
    assert " rows differ, first at batch " in summary


def test_a_bit_that_other_heads_change_is_right_where_determinism_is_not_claimed() -> None:
    assert relation_on(MaximumOfAllHeads(), LONE, deterministic=False).passed


def test_a_head_that_reads_another_is_red_where_determinism_is_not_claimed() -> None:
    class NextHead(TileLoop):
        def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
            return (super().key_heads(problem, lane) + 1) % problem.key_heads

    summary = relation_on(NextHead(), LONE, deterministic=False).summary
    assert summary.startswith("all but batch ")
    assert "replaced: out: row RMS" in summary


def test_a_kernel_without_grouped_heads_is_not_claimed_for_expanded_heads() -> None:
    skipped = cell_of(TileLoop(), EXPANDED, gqa=False).skipped()
    assert skipped is not None
    assert skipped.reason == "not claimed: gqa"
