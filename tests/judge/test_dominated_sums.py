"""Sums that one term dominates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.dominated_sums import is_dominated, lost_weight, mean_rounding
from pytest_attn.options.options import Options
from pytest_attn.problem.case_id import parse
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop, tile_loop

SPACING = 2.0**-7
"""Of bfloat16 from 1 to 2."""

NUMBERS = 1 + SPACING * torch.arange(1, 120, dtype=torch.float64).view(1, 1, -1, 1)
REST = SPACING * torch.logspace(-3, 0, 3001, dtype=torch.float64)[:-1].view(1, 1, 1, -1)


@pytest.mark.parametrize("sign", [1, -1])
def test_more_of_a_small_term_is_lost_than_added(sign: int) -> None:
    sums = sign * (NUMBERS + REST)
    sigma = torch.full_like(sums, SPACING)
    mean = mean_rounding(sums, sums, torch.ones_like(sums, dtype=torch.bool), sigma, torch.bfloat16)
    # Per unit of log size: 1/2 lost below half of the spacing, log(2) - 1/2 added above.
    expected = (1 - torch.log(torch.tensor(2.0))) / torch.log(torch.tensor(1000.0))
    assert mean * float((sums.abs() / sigma).mean()) == pytest.approx(float(expected), rel=0.02)


def test_a_term_dominates_where_the_others_are_less_than_a_spacing() -> None:
    others = torch.tensor([0.0, 0.99, 1.01]) * SPACING
    assert is_dominated(others, torch.bfloat16).tolist() == [True, True, False]


def test_sums_without_a_dominant_term_have_no_mean_error() -> None:
    sums = NUMBERS + REST
    nowhere = torch.zeros_like(sums, dtype=torch.bool)
    assert mean_rounding(sums, sums, nowhere, torch.ones_like(sums), torch.bfloat16) == 0.0


@pytest.mark.parametrize("seed", [4, 42])
def test_an_exact_kernel_is_green_where_one_key_carries_most_rows(seed: int) -> None:
    case = parse("b2-h8-kv1-s300x100-d256-float16-causal-large-out-exact")
    verdict = Session(Options(seed=seed)).cell("gqa", case).judge()
    assert verdict.passed, verdict.summary


NEEDLES = "b1-h2-s16x9219-d128-float32-biasbxh-needle-out-exact"
MANY = 9219
"""Keys of it, and additions to a running sum."""


@pytest.mark.parametrize("others", [1e-6, 3e-5, 3e-4])
def test_a_running_sum_loses_no_more_than_that_beside_its_first_term(others: float) -> None:
    terms = torch.rand(MANY, generator=torch.Generator().manual_seed(0)) * (2 * others / MANY)
    total = torch.ones(())
    for term in terms:
        total = total + term
    lost = abs(float(1 + terms.double().sum() - total.double()))
    allowed = lost_weight(torch.tensor(others), torch.tensor(float(MANY)), 2.0**-24)
    assert 0.5 * float(allowed) < lost < 1.05 * float(allowed)


def test_a_sum_whose_terms_are_more_than_a_spacing_loses_nothing_of_one_sign() -> None:
    assert float(lost_weight(torch.tensor(0.01), torch.tensor(100.0), 2.0**-24)) == 0.0


@pytest.mark.parametrize("kernel", ["flash_v2", "naive"])
def test_a_running_sum_in_float32_is_green_over_many_tiles_beside_a_needle(kernel: str) -> None:
    verdict = Session(Options()).cell(kernel, parse(NEEDLES)).judge()
    assert verdict.passed, verdict.summary


def test_a_sum_that_is_off_by_a_few_times_that_is_red() -> None:
    class LosesMore(TileLoop):
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_out(problem, out, lane, rows, Part(part.out * (1 + 1e-4), part.lse))

    verdict = Session(Options()).cell(tile_loop(LosesMore), parse(NEEDLES.replace("-biasbxh", ""))).judge()
    assert not verdict.passed
