"""Inputs of float64, whose reference is of float64 too."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case_id import parse

CASES = (
    "b1-h2-s129x257-d64-float64-both-exact",
    "b1-h4-kv2-s300-d128-float64-causal-both-exact",
    "b1-h3-kv1-s128-d40-float64-needle-both-exact",
    "b2-h2-s1x1000-d80-float64-scale0p3-both-exact",
)


def attend(accumulator: torch.dtype, exponential: torch.dtype) -> Kernel:
    """A plain kernel that sums its products, and takes its exponential, in these precisions."""

    def attention(query, key, value, *, scale, causal=False, return_lse=False):
        group = query.shape[1] // key.shape[1]
        query, key, value = (tensor.to(accumulator) for tensor in (query, key, value))
        key, value = (tensor.repeat_interleave(group, dim=1) for tensor in (key, value))
        scores = (query @ key.mT).double() * scale
        if causal:
            visible = torch.ones(scores.shape[2:], dtype=torch.bool).tril(scores.shape[3] - scores.shape[2])
            scores = scores.masked_fill(~visible, float("-inf"))
        largest = scores.amax(dim=3, keepdim=True)
        weights = (scores - largest).to(exponential).exp().double()
        total = weights.sum(dim=3, keepdim=True)
        out = (weights.to(accumulator) @ value).double() / total
        return out, (total.log() + largest).squeeze(3)

    numerics = Numerics(exp_error=2.0**-52)
    flags = {"lse": True, "causal": True, "gqa": True, "any_scale": True}
    return kernel(name="double", dtypes=("float64",), numerics=numerics, **flags)(attention)


def verdict(case: str, subject: Kernel, seed: int = 42) -> Verdict:
    return Session(Options(seed=seed)).cell(subject, parse(case)).judge()


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("case", CASES)
def test_a_kernel_of_float64_throughout_is_right(case: str, seed: int) -> None:
    found = verdict(case, attend(torch.float64, torch.float64), seed)
    assert found.passed, found.summary


@pytest.mark.parametrize("case", CASES)
def test_sums_in_float32_are_wrong(case: str) -> None:
    assert not verdict(case, attend(torch.float32, torch.float64)).passed


@pytest.mark.parametrize("case", CASES)
def test_an_exponential_of_float32_is_wrong(case: str) -> None:
    assert not verdict(case, attend(torch.float64, torch.float32)).passed


def test_inputs_have_all_digits_of_float64() -> None:
    query = Session(Options()).cell("eager", parse(CASES[0])).inputs.query
    assert not torch.equal(query, query.float().double())
