"""References that are off themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.noisy_truth import mean_of_noise
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case_id import parse

HUGE = "b3-h16-kv2-s300x100-d256-bfloat16-scale0p05-hugelogit-out-exact"
"""Logits near -100000: a sum of them in float32 has spacings of 1/128, in the reference as in the kernel."""

CELLS = (
    "b3-h8-kv1-s300x100-d128-bfloat16-scale0p05-hugelogit-out-lonehead",
    "b2-h16-kv2-s300x193-d72-bfloat16-scale0p05-hugelogit-out-permutedkeys",
    "b3-h16-kv2-s300x100-d256-bfloat16-scale0p05-hugelogit-out-again",
    "b3-h16-kv2-s100x256-d256-bfloat16-scale0p05-causal-hugelogit-out-sequence",
)


@pytest.mark.parametrize("spread", [2.0, 5.0, 20.0])
@pytest.mark.parametrize("noise", [0.1, 0.6])
def test_what_is_large_by_the_noise_of_the_truth_is_off_towards_zero(noise: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    exact, error = torch.randn(2, 1, 1, 2000, 2000, generator=generator)
    truth, sigma = exact * spread + error * noise, torch.ones_like(exact)
    size = truth.abs()
    towards_zero = float((error * noise * truth.sign())[size > sigma].sum()) / size.numel()
    found = mean_of_noise(truth, torch.full_like(sigma, noise**2), sigma) * float(size.mean())
    assert found == pytest.approx(towards_zero, rel=0.1, abs=2e-3 * noise)


def test_a_truth_without_noise_allows_no_mean() -> None:
    truth = torch.linspace(-3, 3, 100).view(1, 1, 10, 10)
    assert mean_of_noise(truth, torch.zeros_like(truth), torch.ones_like(truth)) == 0.0


@pytest.mark.parametrize("case", CELLS)
def test_eager_in_bfloat16_is_green_at_logits_that_float32_sums_coarsely(case: str) -> None:
    verdict = Session(Options()).cell("eager", parse(case)).judge()
    assert verdict.passed, verdict.summary


@kernel(dtypes="bfloat16", gqa=True, numerics=Numerics(probabilities="float32"))
def truncates(query: Tensor, key: Tensor, value: Tensor, *, scale: float, **keywords: Any) -> Tensor:
    """Attention in float32 whose results are cut off, not rounded, to bfloat16."""
    group = query.shape[1] // key.shape[1]
    key, value = (tensor.float().repeat_interleave(group, dim=1) for tensor in (key, value))
    out = (query.float() @ key.mT * scale).softmax(dim=3) @ value
    cut: Tensor = (out.view(torch.int32) & -0x10000).view(torch.float32).bfloat16()
    return cut


def test_results_that_are_cut_off_are_red_beside_a_noisy_truth() -> None:
    verdict = Session(Options()).cell(truncates, parse(HUGE)).judge()
    assert [finding.what for finding in verdict.findings] == ["out_bias"]
