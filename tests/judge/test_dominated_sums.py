"""Sums that one term dominates."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.dominated_sums import is_dominated, mean_rounding
from pytest_attn.options.options import Options
from pytest_attn.problem.case_id import parse

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
