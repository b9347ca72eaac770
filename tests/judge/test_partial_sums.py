"""Partial sums of query . key: what the budget of a logit makes of channels and keys that differ in size."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.budget.partial_sums import channels_differ, keys_differ, random_parts
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import KeyLengths, Softcap
from pytest_attn.records.record import Record

EXACT = Numerics(exp_error=1e-7)


def judged(kernel: object, case: Case, seed: int = 42) -> Record:
    return Session(Options(seed=seed)).cell(kernel, case).record()  # type: ignore[arg-type]


def cancelling(places: tuple[int, int], width: int = 64) -> tuple[Tensor, Tensor]:
    """Queries and keys with two channels whose products cancel, at those places; float64."""
    generator = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, 50, width, generator=generator, dtype=torch.float64)
    for place, sign in zip(places, (1, -1), strict=True):
        query[:, place], key[:, place] = 100.0, 100.0 * sign
    return query, key


def in_order(query: Tensor, key: Tensor) -> Tensor:
    """R of every pair from all of its partial sums, in the order of the channels."""
    width = query.shape[1]
    sums = (query.unsqueeze(1) * key.unsqueeze(0)).cumsum(dim=2)
    return sums.square().sum(dim=2) * 6 / width - 2 * sums[..., -1].square()


@pytest.mark.parametrize("places", [(0, 63), (0, 32), (10, 45)])
def test_blocks_of_channels_find_what_all_partial_sums_of_cancelling_ones_come_to(places: tuple[int, int]) -> None:
    query, key = cancelling(places)
    found = random_parts(query, key)[1]
    assert float((found / in_order(query, key)).log().abs().max()) < 0.35


def test_channels_in_random_order_have_the_sum_of_squares_in_the_mean() -> None:
    generator = torch.Generator().manual_seed(2)
    query, key = torch.randn(2, 300, 64, generator=generator, dtype=torch.float64)
    squares, ordered = random_parts(query, key)
    assert float(ordered.mean() / squares.mean()) == pytest.approx(1.0, abs=0.1)


def test_numbers_as_most_recipes_draw_them_are_of_one_size() -> None:
    generator = torch.Generator().manual_seed(3)
    for rows, keys, width in ((1, 1, 16), (1, 30000, 64), (300, 7, 40), (200, 2000, 256)):
        query, key = (torch.randn(length, width, generator=generator) for length in (rows, keys))
        assert not channels_differ(query, key)
        assert not keys_differ(key)


def test_one_large_channel_and_one_large_key_are_seen() -> None:
    query, key = (tensor.clone() for tensor in torch.ones(2, 100, 64).normal_(generator=torch.Generator()))
    channel, row = key.clone(), key.clone()
    channel[:, 5] *= 4
    row[7] *= 8
    assert channels_differ(query, channel)
    assert keys_differ(row)


SHAPES = ((129, 300, 64), (40, 515, 128), (200, 120, 16), (65, 257, 40))


@pytest.mark.parametrize(("name", "shape"), [*product(("naive", "eager", "gqa", "sdpa"), SHAPES)], ids=str)
def test_correct_kernels_show_about_the_error_expected_where_channels_cancel(
    name: str, shape: tuple[int, int, int]
) -> None:
    case = Case(*shape[:2], head_dim=shape[2], query_heads=4, key_heads=2, dtype="float32", recipe="cancelling")
    found = [judged(name, case, seed) for seed in range(3)]
    assert [record.outcome for record in found] == ["passed"] * 3
    assert all(0.4 < record.figures["out_rms"] < 1.15 for record in found)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_sums_of_the_reference_count_where_logits_are_huge(dtype: str) -> None:
    """Both are float32, and neither is nearer to the truth."""
    record = judged("gqa", Case(129, 300, dtype=dtype, query_heads=4, recipe="hugelogit"))
    assert record.outcome == "passed", record.reason
    assert record.figures["out_rms"] > 0.65


def sigma_of(problem: Problem, inputs: Inputs) -> Tensor:
    found = allowed_error(problem, inputs, stream(problem, inputs), EXACT).out
    assert found is not None
    return found.sigma


def test_keys_that_no_sequence_has_do_not_widen_the_budget() -> None:
    problem = Problem.of(Case(5, 200, batch=3, head_dim=64, dtype="float32", variants=(KeyLengths(),)))
    inputs = Inputs.draw(problem, 1)
    assert inputs.unread is not None
    huge = replace(inputs, key=torch.where(inputs.unread, inputs.key * 1000, inputs.key))
    assert float((sigma_of(problem, huge) / sigma_of(problem, inputs)).max()) < 1.2


def test_a_large_key_widens_the_budget_of_the_rows_that_weigh_it_alone() -> None:
    problem = Problem.of(Case(40, 200, head_dim=64, dtype="float32", causal="bottom-right"))
    inputs = Inputs.draw(problem, 1)
    key = inputs.key.clone()
    key[:, :, 180] *= 1000
    large = replace(inputs, key=key)
    ratio = (sigma_of(problem, large) / sigma_of(problem, inputs)).amax(dim=3)[0, 0]
    assert float(ratio[:20].max()) < 1.2
    assert float(ratio[20:].max()) > 20


SUNK = (
    "b3-h4-kv2-s3x2049-d80-float16-softcap50-sinks-hugelogit-lse-exact",
    "b1-h2-s65x129-d64-float32-causal-softcap50-sinks-hugelogit-both-exact",
    "b1-h2-s1x300-d64-float32-softcap50-sinks-hugelogit-both-exact",
)


@pytest.mark.parametrize("case", SUNK)
def test_a_row_whose_sink_leaves_its_keys_next_to_nothing_has_a_budget(case: str) -> None:
    """The squares of weights of 1e-26 are 0 in float32."""
    record = judged("gqa", Case.parse(case))
    assert record.outcome == "passed", record.reason


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_logits_that_are_summed_in_half_are_red_where_channels_cancel(dtype: str) -> None:
    half = torch.float16 if dtype == "float32" else getattr(torch, dtype)

    def summed_in_half(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
        logits = torch.zeros(*query.shape[:3], key.shape[2], dtype=half)
        for start in range(0, query.shape[3], 16):
            part = query[..., start : start + 16].float() @ key[..., start : start + 16].float().mT * scale
            logits = (logits.float() + part).to(half)
        return (logits.float().softmax(dim=3) @ value.float()).to(query.dtype)

    case = Case(65, 129, head_dim=64, query_heads=2, dtype=dtype, ask="out", recipe="cancelling")
    assert judged(kernel()(summed_in_half), case).outcome == "failed"
    assert judged("eager", case).outcome == "passed"


@pytest.mark.parametrize(("dtype", "factor"), [("float32", 0.9999), ("float16", 0.99), ("bfloat16", 0.99)])
def test_a_cap_that_is_a_little_off_is_red_where_logits_are_saturated(dtype: str, factor: float) -> None:
    def capped(
        query: Tensor, key: Tensor, value: Tensor, *, scale: float, softcap: float, return_lse: bool
    ) -> tuple[Tensor, Tensor]:
        logits = query.float() @ key.float().mT * scale
        logits = (logits / softcap).tanh() * (softcap * factor)
        return (logits.softmax(dim=3) @ value.float()).to(query.dtype), logits.logsumexp(dim=3)

    case = Case(65, 129, head_dim=64, dtype=dtype, recipe="saturating", variants=(Softcap(30.0),))
    assert judged(kernel(lse=True, softcap=True)(capped), case).outcome == "failed"
    assert judged("naive", case).outcome == "passed"
