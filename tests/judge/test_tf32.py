"""Kernels whose matrix products take their operands in TF32."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from pytest_attn.judge.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, kernel
from pytest_attn.kernels.numerics import BLAS_CHAIN, Numerics
from pytest_attn.options import Options
from pytest_attn.problem.case_id import parse
from pytest_attn.problem.relations import Relation
from pytest_attn.problem.tf32 import UNIT_ROUNDOFF, to_tf32
from pytest_attn.session import Session

DECLARED = Numerics(products="tf32", chain=BLAS_CHAIN)
SEEN = (
    "b1-h2-s129x257-d64-float32-both-exact",
    "b2-h4-kv2-s300-d128-float32-causal-both-exact",
    "b1-h2-s256-d80-float32-scale0p3-needle-both-exact",
    "b1-h2-s128x300-d64-float32-large-both-exact",
    "b1-h8-kv1-s1x1000-d128-float32-both-exact",
)
RELATED = tuple(
    f"b1-h4-kv2-s130x200-d64-float32{'-causal' if relation in ('hiddenkeys', 'lastrow') else ''}-both-{relation}"
    for relation in get_args(Relation)
)


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return to_tf32(left) @ to_tf32(right)


def attend(query, key, value, *, scale, causal=False, block_mask=None, return_lse=False, wrong=1.0):
    group = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(group, dim=1) for tensor in (key, value))
    scores = product(query, key.transpose(2, 3)) * scale * wrong
    if causal:
        visible = torch.ones(scores.shape[2:], dtype=torch.bool).tril(scores.shape[3] - scores.shape[2])
        scores = scores.masked_fill(~visible, float("-inf"))
    largest = scores.amax(dim=3, keepdim=True)
    weights = (scores - largest).exp()
    total = weights.sum(dim=3, keepdim=True)
    return product(weights, value) / total, (total.log() + largest).squeeze(3)


def emulation(numerics: Numerics = DECLARED, wrong: float = 1.0) -> Kernel:
    def tf32(query, key, value, **keywords):
        return attend(query, key, value, wrong=wrong, **keywords)

    return kernel(name="tf32", dtypes=("float32",), numerics=numerics, lse=True, gqa=True, causal=True, any_scale=True)(
        tf32
    )


def verdict(case: str, subject: Kernel, seed: int = 42) -> Verdict:
    return Session(Options(seed=seed)).cell(subject, parse(case)).judge()


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("case", SEEN)
def test_a_kernel_that_declares_tf32_is_right(case: str, seed: int) -> None:
    found = verdict(case, emulation(), seed)
    assert found.passed, found.summary


@pytest.mark.parametrize("case", RELATED)
def test_its_results_on_related_inputs_agree(case: str) -> None:
    found = verdict(case, emulation())
    assert found.passed, found.summary


@pytest.mark.parametrize("case", SEEN)
def test_tf32_that_is_not_declared_is_wrong(case: str) -> None:
    assert not verdict(case, emulation(Numerics(chain=BLAS_CHAIN))).passed


@pytest.mark.parametrize("case", SEEN)
def test_a_scale_that_is_off_by_a_thousandth_is_wrong_in_tf32_too(case: str) -> None:
    assert not verdict(case, emulation(wrong=1.001)).passed


def test_the_budget_is_what_rounding_the_probabilities_takes() -> None:
    shares = [verdict(case, emulation()).figures["out_rms"] for case in SEEN[:2]]
    assert min(shares) > 0.7
    assert max(shares) < 1.1


def test_tf32_keeps_ten_bits_and_every_exponent() -> None:
    numbers = torch.tensor([1.0, 1 + UNIT_ROUNDOFF, 1 + 0.99 * UNIT_ROUNDOFF, -1e-38, 3e38, float("inf")])
    rounded = to_tf32(numbers)
    assert rounded[:3].tolist() == [1.0, 1 + 2 * UNIT_ROUNDOFF, 1.0]
    assert ((rounded - numbers)[:5].abs() <= UNIT_ROUNDOFF * numbers[:5].abs()).all()
    assert rounded[5] == float("inf")
    assert torch.equal(to_tf32(rounded), rounded)


def test_numbers_of_half_types_are_tf32_numbers() -> None:
    numbers = torch.randn(100).bfloat16()
    assert to_tf32(numbers) is numbers
    assert torch.equal(to_tf32(numbers.float()), numbers.float())


def test_products_of_another_precision_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="products is 'fp8'; allowed: input, tf32"):
        Numerics(products="fp8")
