"""What the judge must see, and what must never pass it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pytest_attn.judge.verdict.facts import read_output
from pytest_attn.judge.verdict.finding import Finding, Place
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import EmptyRows
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

Attention = Callable[[Problem, Inputs], tuple[Tensor, Tensor]]


def correct(problem: Problem, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """(out, lse) of a flash kernel in whole rows: probabilities rounded to the input type before the second product."""
    query, key, value = (t.repeat_interleave(problem.query_heads // t.shape[1], dim=1).float() for t in tensors(inputs))
    scores = query @ key.mT * problem.scale
    lse = scores.logsumexp(dim=3)
    weights = (scores - scores.amax(dim=3, keepdim=True)).exp()
    out = weights.to(problem.dtype).float() @ value / weights.sum(dim=3, keepdim=True)
    return out.to(problem.dtype), lse


def tensors(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    return inputs.query, inputs.key, inputs.value


def fewer_keys(keep: slice) -> Attention:
    """A kernel that forgets keys."""

    def attend(problem: Problem, inputs: Inputs) -> tuple[Tensor, Tensor]:
        kept = Inputs(inputs.query, inputs.key[:, :, keep], inputs.value[:, :, keep], "fewer")
        return correct(problem, kept)

    return attend


PLAIN = Kernel("plain", find_kernel("eager").implementation)


def verdict_on(attend: Attention, case: Case, tolerance: str = "derived", kernel: Kernel = PLAIN) -> Verdict:
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42)
    out, lse = attend(problem, inputs)
    return judge(problem, inputs, Output(out, lse), stream(problem, inputs), kernel, tolerance)


CASE = Case(200, 300, query_heads=2, dtype="bfloat16")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_correct_kernel_passes(dtype: str) -> None:
    verdict = verdict_on(correct, Case(200, 300, query_heads=2, dtype=dtype))
    assert verdict.passed, verdict.summary
    assert verdict.summary == "right"


def test_one_dropped_key_of_24000_is_red() -> None:
    verdict = verdict_on(fewer_keys(slice(0, 23999)), Case(64, 24000, dtype="bfloat16", ask="out"))
    assert "out_row_rms" in {finding.what for finding in verdict.findings}


def test_one_dropped_key_of_24000_is_red_by_its_lse() -> None:
    verdict = verdict_on(fewer_keys(slice(0, 23999)), Case(64, 24000, dtype="bfloat16", ask="lse"))
    assert {finding.what for finding in verdict.findings} == {"lse"}


def test_the_published_tolerance_passes_a_dropped_block_of_128_keys_and_the_derived_one_does_not() -> None:
    case = Case(128, 16384, dtype="bfloat16", ask="lse")
    forgetful = fewer_keys(slice(128, None))
    assert verdict_on(forgetful, case, "bsa").passed
    assert not verdict_on(forgetful, case, "derived").passed


def test_the_published_tolerance_refuses_a_dropped_block_where_keys_are_few() -> None:
    verdict = verdict_on(fewer_keys(slice(128, None)), Case(128, 1024, dtype="bfloat16"), "bsa")
    assert {finding.what for finding in verdict.findings} == {"out", "lse"}


@pytest.mark.parametrize("tolerance", ["derived", "bsa"])
def test_every_finding_survives_json(tolerance: str) -> None:
    found = verdict_on(fewer_keys(slice(128, None)), Case(128, 1024, dtype="bfloat16"), tolerance).findings
    assert len(found) > 1
    assert [Finding.of_dict(json.loads(json.dumps(finding.as_dict()))) for finding in found] == list(found)


@pytest.mark.parametrize("tolerance", ["derived", "bsa"])
def test_every_finding_of_a_statistic_holds_a_figure_over_its_limit(tolerance: str) -> None:
    found = verdict_on(fewer_keys(slice(128, None)), Case(128, 1024, dtype="bfloat16"), tolerance).findings
    over = [abs(each.figure or 0.0) > (each.limit or math.inf) for each in found]
    assert over == [True] * len(found)


def test_a_fact_holds_where_it_is_first_wrong() -> None:
    def broken(out: Tensor, lse: Tensor, inputs: Inputs, problem: Problem) -> tuple[Tensor, Tensor]:
        out[0, 1, 7] = math.nan
        out[0, 1, 9] = math.nan
        return out, lse

    (finding,) = verdict_on(spoil(broken), CASE).findings
    assert finding.place == Place(which="first", batch=0, head=1, rows=(7, 7), count=2, of=400)


def spoil(change: Callable[[Tensor, Tensor, Inputs, Problem], tuple[Tensor, Tensor]]) -> Attention:
    def attend(problem: Problem, inputs: Inputs) -> tuple[Tensor, Tensor]:
        out, lse = correct(problem, inputs)
        return change(out.clone(), lse.clone(), inputs, problem)

    return attend


def one_element(value: float) -> Attention:
    def change(out: Tensor, lse: Tensor, inputs: Inputs, problem: Problem) -> tuple[Tensor, Tensor]:
        out[0, 1, 77, 5] = value
        return out, lse

    return spoil(change)


WRONG: dict[str, Attention] = {
    "zeros": spoil(lambda out, lse, i, p: (out * 0, lse)),
    "mean of the values": spoil(lambda out, lse, i, p: (i.value.mean(2, keepdim=True).expand_as(out), lse)),
    "first half of the keys": fewer_keys(slice(0, 150)),
    "query times scale": spoil(lambda out, lse, i, p: ((i.query[:, :, :200] * p.scale), lse)),
    "one NaN": one_element(math.nan),
    "one inf": one_element(math.inf),
    "one element off": one_element(0.5),
    "lse zero": spoil(lambda out, lse, i, p: (out, lse * 0)),
    "lse in base 2": spoil(lambda out, lse, i, p: (out, lse / math.log(2))),
    "lse shifted by 1e-4": spoil(lambda out, lse, i, p: (out, lse + 1e-4)),
    "lse NaN": spoil(lambda out, lse, i, p: (out, lse * math.nan)),
    "lse of another head": spoil(lambda out, lse, i, p: (out, lse.roll(1, dims=1))),
    "output of another head": spoil(lambda out, lse, i, p: (out.roll(1, dims=1), lse)),
    "rows shifted by one": spoil(lambda out, lse, i, p: (out.roll(1, dims=2), lse.roll(1, dims=2))),
    "scale off by 1 %": spoil(lambda out, lse, i, p: (out * 1.01, lse)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_result_never_passes(name: str) -> None:
    assert not verdict_on(WRONG[name], CASE).passed


@pytest.mark.parametrize("name", [name for name in WRONG if "NaN" in name or "inf" in name])
def test_what_is_not_finite_passes_no_flat_tolerance(name: str) -> None:
    assert not verdict_on(WRONG[name], CASE, "bsa").passed


def test_a_reference_of_nan_passes_nothing() -> None:
    problem = Problem.of(CASE)
    inputs = Inputs.draw(problem, seed=42)
    out, lse = correct(problem, inputs)
    good = stream(problem, inputs)
    assert good.out is not None
    for broken in (
        Reference("broken", good.lse * math.nan, good.out, good.moments),
        Reference("broken", good.lse, good.out * math.nan, good.moments),
    ):
        for tolerance in ("derived", "bsa"):
            assert not judge(problem, inputs, Output(out, lse), broken, PLAIN, tolerance).passed


def test_a_finding_names_head_and_rows() -> None:
    summary = verdict_on(one_element(0.5), CASE).summary
    assert "head 1, rows 0-127 (1 of 400 rows over the limit)" in summary


EMPTY = Case(300, 100, head_dim=32, causal="bottom-right", dtype="float32")
"""The first 200 queries see no key."""


def empty_rows(out: float, lse: float) -> Output:
    problem = Problem.of(EMPTY)
    reference = stream(problem, Inputs.draw(problem, seed=42))
    assert reference.out is not None
    filled = torch.where(reference.empty_rows.unsqueeze(3), out, reference.out)
    return Output(filled.float(), torch.where(reference.empty_rows, lse, reference.lse).float())


@pytest.mark.parametrize(
    ("output", "declared", "passes"),
    [
        (empty_rows(0.0, -math.inf), EmptyRows(), True),
        (empty_rows(1.0, -math.inf), EmptyRows(), False),
        (empty_rows(0.0, 0.0), EmptyRows(), False),
        (empty_rows(0.0, math.inf), EmptyRows(), False),
        (empty_rows(0.0, 0.0), EmptyRows(lse=0.0), True),
        (empty_rows(0.0, math.nan), EmptyRows(), False),
        (empty_rows(0.0, math.nan), EmptyRows(lse=math.nan), True),
        (empty_rows(7.0, 3.0), EmptyRows(out="any", lse=None), True),
        (empty_rows(math.nan, -math.inf), EmptyRows(), False),
    ],
)
def test_rows_without_keys_are_as_declared(output: Output, declared: EmptyRows, passes: bool) -> None:
    problem = Problem.of(EMPTY)
    inputs = Inputs.draw(problem, seed=42)
    kernel = Kernel("declared", PLAIN.implementation, empty_rows=declared)
    assert judge(problem, inputs, output, stream(problem, inputs), kernel).passed is passes


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (None, "out: the kernel returned None"),
        ("text", "out: the kernel returned a str"),
        (torch.zeros(1, 2, 200, 128), "lse: the kernel returned a torch.float32 tensor"),
        ((torch.zeros(1, 2, 200, 1), torch.zeros(1, 2, 200)), "out: shape [1, 2, 200, 1], expected [1, 2, 200, 128]"),
        ((torch.zeros(1, 2, 200, 128), torch.zeros(1, 2, 200)), "out: dtype torch.float32, expected torch.bfloat16"),
        ((torch.zeros(1, 2, 200, 128).bfloat16(), torch.zeros(1, 2, 200, 1)), "lse: shape [1, 2, 200, 1]"),
        ((torch.zeros(1, 2, 200, 128).bfloat16(), torch.zeros(1, 2, 200).double()), "lse: dtype torch.float64"),
        ((torch.zeros(1, 2, 200, 128).bfloat16(), None), "lse: the kernel returned a tuple of 2"),
        (
            (torch.zeros(1, 2, 200, 128, device="meta").bfloat16(), torch.zeros(1, 2, 200)),
            "out: on meta, expected cpu",
        ),
    ],
)
def test_a_result_of_the_wrong_form_is_refused_by_name(returned: object, says: str) -> None:
    problem = Problem.of(CASE)
    finding = read_output(returned, problem, Inputs.draw(problem, seed=42))
    assert isinstance(finding, Finding)
    assert says in finding.phrase


def test_an_lse_that_was_not_asked_for_is_refused() -> None:
    problem = Problem.of(Case(200, 300, query_heads=2, ask="out"))
    inputs = Inputs.draw(problem, seed=42)
    out, lse = correct(problem, inputs)
    assert isinstance(read_output((out, lse), problem, inputs), Finding)
    assert isinstance(read_output((out, torch.empty(0)), problem, inputs), Output)
    assert isinstance(read_output(out, problem, inputs), Output)
