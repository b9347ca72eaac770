"""The budget is what rounding does: measured on correct kernels, and refused to wrong ones."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.budget.precision import ROUNDING_RMS, unit_roundoff
from pytest_attn.judge.budget.rounding import LONE_KEY, budget
from pytest_attn.judge.verdict.facts import read_output
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Alignment, Recipe


def verdict_on(name: str, case: Case, value: torch.Tensor | None = None) -> Verdict:
    """The verdict on a built-in kernel, with other values where given."""
    kernel: Kernel = find_kernel(name)
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, 42, case.recipe)
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
    assert 0.5 <= verdict.figures["out_rms"] <= 1.15


ALIGNMENTS: tuple[Alignment, ...] = ("bottom-right", "top-left")


@pytest.mark.parametrize(("dtype", "align"), [*product(DTYPES, ALIGNMENTS)])
def test_rows_that_few_keys_carry_are_within_the_budget(dtype: str, align: Alignment) -> None:
    case = Case(260, 260, query_heads=2, head_dim=64, dtype=dtype, causal=align, scale=1.0)
    verdict = verdict_on("eager", case)
    assert verdict.passed, verdict.summary


def test_rows_that_become_the_value_of_one_key_are_within_the_budget() -> None:
    """What the other keys take from it is lost in the rounding of the result: an error away from zero."""
    verdict = verdict_on("gqa", Case.parse("b1-h8-kv2-s128-d128-float16-alibi-needle-out-exact"))
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


def budget_of(case: Case, numerics: Numerics, seed: int = 1) -> Budget:
    """The budget on a case as its id says."""
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed, case.recipe)
    return budget(problem, inputs, stream(problem, inputs), numerics)


def sigma_of(case: Case, numerics: Numerics) -> torch.Tensor:
    found = budget_of(case, numerics).out
    assert found is not None
    return found.sigma


def test_small_float16_weights_are_multiples_of_a_quantum() -> None:
    """With a normalised softmax stored in float16, 24000 equal weights are subnormal: the spacing counts."""
    case = Case(4, 24000, head_dim=32, dtype="float16")
    exact, rounded = (sigma_of(case, Numerics(probabilities=p)) for p in ("float32", "input"))
    divided = sigma_of(case, Numerics(normalized=True))
    assert bool((rounded > exact).all())
    assert bool((divided > rounded).all())


def test_the_lse_of_24000_keys_is_known_to_less_than_one_key() -> None:
    allowed = budget_of(Case(64, 24000, dtype="bfloat16"), Numerics()).lse
    assert allowed is not None
    assert allowed.shift + 8 * float(allowed.sigma.max()) < math.log(24000 / 23999)


@pytest.mark.parametrize(
    "coarser",
    [
        Numerics(logits="bfloat16"),
        Numerics(accumulator="bfloat16"),
        Numerics(stored_accumulator="bfloat16"),
        Numerics(stored_accumulator="float32"),
        Numerics(probabilities="bfloat16"),
        Numerics(exp_error=1e-3),
        Numerics(split=True),
    ],
    ids=str,
)
def test_coarser_arithmetic_has_a_larger_budget(coarser: Numerics) -> None:
    case = Case(100, 700, dtype="float32")
    assert bool((sigma_of(case, coarser) > sigma_of(case, Numerics())).all())


def test_equal_weights_are_one_rounding_where_they_are_divided_first_and_none_where_not() -> None:
    case = Case(64, 500, dtype="bfloat16", recipe="zeroquery")
    flash, divided = budget_of(case, Numerics()), budget_of(case, Numerics(normalized=True))
    assert flash.out is not None
    assert divided.out is not None
    assert flash.repeats.tolist() == [[pytest.approx(500)]]
    assert float((divided.out.sigma / flash.out.sigma).median()) > 3


def divided_first(case: Case) -> Verdict:
    """Softmax, its weights stored in the input type, then the product: on a case."""
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42, recipe=case.recipe)
    scores = inputs.query.float() @ inputs.key.float().mT * problem.scale
    weights = scores.softmax(dim=3).to(problem.dtype).float()
    output = Output((weights @ inputs.value.float()).to(problem.dtype), scores.logsumexp(dim=3))
    kernel = Kernel("eager", find_kernel("eager").implementation, numerics={case.dtype: Numerics(normalized=True)})
    return judge(problem, inputs, output, stream(problem, inputs), kernel)


@pytest.mark.parametrize(("recipe", "dtype"), [*product(("zeroquery", "ones", "integers", "normal"), DTYPES)])
@pytest.mark.parametrize("keys", [97, 1000])
def test_probabilities_that_are_all_rounded_alike_are_within_the_budget(recipe: Recipe, dtype: str, keys: int) -> None:
    verdict = divided_first(Case(80, keys, dtype=dtype, recipe=recipe))
    assert verdict.passed, verdict.summary


def test_an_element_may_not_be_off_by_more_than_rounding_to_nearest_can_be() -> None:
    """One key carries the row: 7 standard deviations would allow 4 u |v|, rounding reaches 2."""
    case = Case(50, 400, dtype="bfloat16", recipe="needle")
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42, recipe="needle")
    reference = stream(problem, inputs)
    assert reference.out is not None
    off = Output((reference.out * (1 + 3 * 2.0**-8)).bfloat16(), reference.lse.clone())
    verdict = judge(problem, inputs, off, reference, Kernel("sdpa", find_kernel("sdpa").implementation))
    assert not verdict.passed


def test_normalised_weights_that_round_up_to_1_are_a_systematic_error() -> None:
    case = Case(300, 100, query_heads=8, head_dim=40, scale=0.05, dtype="float16", causal="top-left", recipe="needle")
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42, recipe="needle")
    scores = inputs.query.double() @ inputs.key.double().mT * problem.scale
    weights = scores.masked_fill(torch.ones(300, 100).triu(1).bool(), -torch.inf).softmax(dim=3)
    drift = float((weights.half().double().sum(dim=3) - 1).mean())
    normalized, flash = (
        budget_of(case, Numerics(normalized=first, exp_error=2.0**-23), seed=42).out for first in (True, False)
    )
    assert normalized is not None
    assert flash is not None
    assert flash.systematic < drift < normalized.systematic


@pytest.mark.parametrize("rest", [1e-3, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("others", [1, 2, 50])
def test_weights_beside_the_largest_spread_no_more_than_that_of_a_lone_key(rest: float, others: int) -> None:
    """Two values that are farthest apart, as much of the weight on one as leaves `rest` for the others."""
    weights = torch.tensor([1 - rest, *[rest / others] * others], dtype=torch.float64)
    values = torch.tensor([1.0, *[-1.0] * others], dtype=torch.float64)
    spread = float((weights.square() * (values - weights @ values).square()).sum())
    bound = LONE_KEY * (1 - float(weights.max())) ** 2
    assert spread <= bound
    if others == 1 and rest < 0.01:
        assert spread > 0.99 * bound
