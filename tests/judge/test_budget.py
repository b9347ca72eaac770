"""The budget is what rounding does: measured on correct kernels, and refused to wrong ones."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from pytest_attn.judge.budget import ROUNDING_RMS, budget, unit_roundoff
from pytest_attn.judge.facts import read_output
from pytest_attn.judge.judge import judge
from pytest_attn.judge.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Alignment, Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def verdict_on(name: str, case: Case, value: torch.Tensor | None = None) -> Verdict:
    """The verdict on a built-in kernel, with other values where given."""
    kernel: Kernel = find_kernel(name)
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42)
    if value is not None:
        inputs = Inputs(inputs.query, inputs.key, value.to(problem.dtype), "other")
    output = read_output(kernel.prepare(problem, inputs)(), problem, inputs)
    assert isinstance(output, Output)
    return judge(problem, inputs, output, stream(problem, inputs), kernel)


def test_the_rounding_constant_is_the_mean_square_of_rounding_log_uniform_numbers() -> None:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.exp2(torch.rand(400_000, generator=generator, dtype=torch.float64) * 8 - 4)
    relative = (numbers.to(torch.bfloat16).double() - numbers) / numbers
    measured = float(relative.square().mean().sqrt()) / unit_roundoff(torch.bfloat16)
    assert measured == pytest.approx(ROUNDING_RMS, rel=0.01)


KERNELS = ("eager", "sdpa")
DTYPES = ("float32", "bfloat16", "float16")
SHAPES = ((64, 32), (64, 128), (500, 256), (1500, 64), (1500, 128))


@pytest.mark.parametrize(("name", "dtype", "shape"), [*product(KERNELS, DTYPES, SHAPES)], ids=str)
def test_a_correct_kernel_shows_about_the_error_expected(name: str, dtype: str, shape: tuple[int, int]) -> None:
    verdict = verdict_on(name, Case(shape[0], shape[0], head_dim=shape[1], dtype=dtype))
    assert verdict.passed, verdict.summary
    assert 0.4 <= verdict.figures["out_rms"] <= 1.15


ALIGNMENTS: tuple[Alignment, ...] = ("bottom-right", "top-left")


@pytest.mark.parametrize(("dtype", "align"), [*product(DTYPES, ALIGNMENTS)])
def test_rows_that_few_keys_carry_are_within_the_budget(dtype: str, align: Alignment) -> None:
    case = Case(260, 260, query_heads=2, head_dim=64, dtype=dtype, causal=align, scale=1.0)
    verdict = verdict_on("eager", case)
    assert verdict.passed, verdict.summary


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_of_one_rank_are_within_the_budget(dtype: str) -> None:
    """All columns are equal, so the error of a row is one number and its RMS has one degree of freedom."""
    ones = torch.ones(1, 1, 700, 128)
    verdict = verdict_on("sdpa", Case(700, 700, dtype=dtype), ones)
    assert verdict.passed, verdict.summary


def test_an_undeclared_rounding_of_the_logits_is_red_and_a_declared_one_is_not() -> None:
    case = Case(800, 800, dtype="bfloat16")
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42)
    scores = (inputs.query.float() @ inputs.key.float().mT * problem.scale).bfloat16().float()
    out = (scores.softmax(dim=3).bfloat16().float() @ inputs.value.float()).bfloat16()
    output = Output(out, scores.logsumexp(dim=3))
    reference = stream(problem, inputs)
    plain = find_kernel("eager")
    declared = Kernel("half", plain.implementation, plain.capabilities, {"bfloat16": Numerics(logits="bfloat16")})
    assert not judge(problem, inputs, output, reference, Kernel("silent", plain.implementation)).passed
    assert judge(problem, inputs, output, reference, declared).passed


def test_small_float16_weights_are_multiples_of_a_quantum() -> None:
    """With a normalised softmax stored in float16, 24000 equal weights are subnormal: the spacing counts."""
    problem = Problem.of(Case(4, 24000, head_dim=32, dtype="float16"))
    inputs = Inputs.draw(problem, seed=1)
    exact = budget(problem, inputs, stream(problem, inputs), Numerics(probabilities="float32"))
    rounded = budget(problem, inputs, stream(problem, inputs), Numerics())
    assert rounded.out is not None
    assert exact.out is not None
    assert bool((rounded.out > exact.out).all())


def test_the_lse_of_24000_keys_is_known_to_less_than_one_key() -> None:
    problem = Problem.of(Case(64, 24000, dtype="bfloat16"))
    inputs = Inputs.draw(problem, seed=1)
    allowed = budget(problem, inputs, stream(problem, inputs), Numerics())
    assert allowed.lse is not None
    assert allowed.lse_shift + 8 * float(allowed.lse.max()) < math.log(24000 / 23999)
