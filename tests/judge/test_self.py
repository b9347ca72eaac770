"""The judge against a broken oracle and against results that a careless comparison lets through: none passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pytest_attn.judge.verdict.facts import read_output
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.reference_checks import reference_faults
from pytest_attn.judge.verdict.tolerances import tolerance_names
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import EmptyRows
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Recipe

CASE = Case(40, 50, head_dim=16, query_heads=2, batch=2, dtype="float32")
CAREFREE = Kernel("carefree", find_kernel("eager").implementation, empty_rows=EmptyRows(out="any", lse=None))
"""Leaves rows without keys unspecified: a judge that takes a row for one of them judges nothing of it."""

Judged = tuple[Problem, Inputs, Output, Reference]
Break = Callable[[Judged], Judged]

every_tolerance = pytest.mark.parametrize("tolerance", tolerance_names())


def judged(case: Case = CASE, recipe: Recipe = "normal") -> Judged:
    """A problem, its inputs, the right output and the right reference."""
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, 42, recipe)
    reference = stream(problem, inputs)
    assert reference.out is not None
    # A kernel's own tensors, not the reference's under another name.
    out, lse = reference.out.to(problem.dtype, copy=True), reference.lse.to(torch.float32, copy=True)
    return problem, inputs, Output(out, lse), reference


def verdict_on(given: Judged, tolerance: str = "derived") -> Verdict:
    problem, inputs, output, reference = given
    return judge(problem, inputs, output, reference, CAREFREE, tolerance)


def broken_output(name: str, value: float, where: int | slice) -> Break:
    """The kernel's tensor of that name holds `value` in one element, or in all."""

    def change(given: Judged) -> Judged:
        problem, inputs, output, reference = given
        tensor = getattr(output, name).clone()
        tensor.view(-1)[where] = value
        return problem, inputs, replace(output, **{name: tensor}), reference

    return change


def broken_reference(name: str, value: float, where: int | slice) -> Break:
    """The reference's tensor of that name holds `value` in one element, or in all."""

    def change(given: Judged) -> Judged:
        problem, inputs, output, reference = given
        tensors = {known: tensor.clone() for known, tensor in reference.tensors().items()}
        tensors[name].view(-1)[where] = value
        return problem, inputs, output, Reference.of_tensors("broken", tensors)

    return change


def broken_both(name: str, value: float, where: int | slice) -> Break:
    """Kernel and reference agree on what cannot be."""
    return lambda given: broken_output(name, value, where)(broken_reference(name, value, where)(given))


NOT_FINITE = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf}
PLACES: dict[str, int | slice] = {"one element of": 77, "all of": slice(None)}
SIDES = {"the kernel's": broken_output, "the reference's": broken_reference, "both sides'": broken_both}
NUMBERS: dict[str, Break] = {
    f"{value} in {place} {side} {tensor}": break_of(tensor, NOT_FINITE[value], PLACES[place])
    for side, break_of in SIDES.items()
    for place in PLACES
    for value in NOT_FINITE
    for tensor in ("out", "lse")
}


def narrowed_output(**shapes: tuple[slice, ...]) -> Break:
    """The kernel returns a part that broadcasts to the whole."""

    def change(given: Judged) -> Judged:
        problem, inputs, output, reference = given
        parts = {name: getattr(output, name)[part] for name, part in shapes.items()}
        return problem, inputs, replace(output, **parts), reference

    return change


def narrowed_reference(name: str, part: tuple[slice, ...]) -> Break:
    """The reference is a part that broadcasts to the whole."""

    def change(given: Judged) -> Judged:
        problem, inputs, output, reference = given
        tensors = reference.tensors()
        return problem, inputs, output, Reference.of_tensors("narrow", {**tensors, name: tensors[name][part]})

    return change


ALL, ONE = slice(None), slice(0, 1)
SHAPES: dict[str, Break] = {
    "one column of out": narrowed_output(out=(ALL, ALL, ALL, ONE)),
    "one row of out": narrowed_output(out=(ALL, ALL, ONE)),
    "one head of out": narrowed_output(out=(ALL, ONE)),
    "one batch of out": narrowed_output(out=(ONE,)),
    "one row of lse": narrowed_output(lse=(ALL, ALL, ONE)),
    "one head of lse": narrowed_output(lse=(ALL, ONE)),
    "one head of both": narrowed_output(out=(ALL, ONE), lse=(ALL, ONE)),
    "one column of the reference's out": narrowed_reference("out", (ALL, ALL, ALL, ONE)),
    "one head of the reference's out": narrowed_reference("out", (ALL, ONE)),
    "one row of the reference's lse": narrowed_reference("lse", (ALL, ALL, ONE)),
    "one batch of the reference's lse": narrowed_reference("lse", (ONE,)),
    "one row of the reference's peak": narrowed_reference("peak", (ALL, ALL, ONE)),
    "one column of the reference's value_square": narrowed_reference("value_square", (ALL, ALL, ALL, ONE)),
}


def without_lse(given: Judged) -> Judged:
    """The kernel returned no LSE, and `read_output` was not asked."""
    problem, inputs, output, reference = given
    return problem, inputs, Output(output.out), reference


def without_reference_out(given: Judged) -> Judged:
    """The oracle has nothing to compare the output with."""
    problem, inputs, output, reference = given
    return problem, inputs, output, Reference("half", reference.lse, None, reference.moments)


def zero_everywhere(name: str) -> Break:
    """Kernel and reference are zero together, as two buffers that nobody wrote."""
    return broken_both(name, 0.0, ALL)


def aliased(**names: str) -> Break:
    """Tensors of the reference are those of the kernel, so that they always agree."""

    def change(given: Judged) -> Judged:
        problem, inputs, output, reference = given
        wrong = Output(output.out * 2, output.lse if output.lse is None else output.lse + 1)
        returned = {"out": wrong.out, "lse": wrong.lse}
        tensors = {**reference.tensors(), **{theirs: returned[ours] for theirs, ours in names.items()}}
        return problem, inputs, wrong, Reference.of_tensors("aliased", tensors)  # type: ignore[arg-type]

    return change


BLINDING = {"inf": math.inf, "NaN": math.nan, "1e9": 1e9, "-1": -1.0}
MOMENTS: dict[str, Break] = {
    f"{name} of {value}": broken_reference(name, BLINDING[value], ALL)
    for name in ("value_square", "weight_square", "peak")
    for value in BLINDING
}

BROKEN: dict[str, Break] = {
    **NUMBERS,
    **SHAPES,
    **MOMENTS,
    "no lse": without_lse,
    "no out in the reference": without_reference_out,
    "out is zero on both sides": zero_everywhere("out"),
    "lse is zero on both sides": zero_everywhere("lse"),
    "the reference is the kernel's output": aliased(out="out", lse="lse"),
}


@every_tolerance
def test_a_right_result_passes_a_right_reference(tolerance: str) -> None:
    verdict = verdict_on(judged(), tolerance)
    assert verdict.passed, verdict.summary


@every_tolerance
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_never_passes(name: str, tolerance: str) -> None:
    assert not verdict_on(BROKEN[name](judged()), tolerance).passed


def says_of(change: Break, case: Case = CASE, recipe: Recipe = "normal") -> str:
    verdict = verdict_on(change(judged(case, recipe)))
    assert {finding.what for finding in verdict.findings} == {"reference"}
    return verdict.summary


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (aliased(out="out"), "out shares memory with the kernel's out"),
        (aliased(lse="lse"), "lse shares memory with the kernel's lse"),
        (narrowed_reference("lse", (ALL, ONE)), "lse has shape [2, 1, 40], expected [2, 2, 40]"),
        (without_reference_out, "no out"),
        (broken_reference("lse", math.nan, 3), "lse is NaN or +inf in 1 of 160 rows, first at batch 0, head 0, row 3"),
        (
            broken_both("lse", -math.inf, 41),
            "lse is -inf with keys to attend to in 1 of 160 rows, first at batch 0, head 1, row 1",
        ),
        (broken_reference("peak", 2.0, 0), "peak is between * and 2, where 0 to 1 is possible"),
        (zero_everywhere("out"), "out is 0 at batch 0, head 0, row 0, where it should reach *"),
        (zero_everywhere("lse"), "lse is 0 at batch 0, head 0, row 0, where it should reach *"),
    ],
)
def test_a_doubt_says_in_words_what_is_wrong_with_the_reference(change: Break, says: str) -> None:
    start, _, end = f"reference: {says}".partition("*")
    said = says_of(change)
    assert said.startswith(start)
    assert said.endswith(end)


def test_a_reference_that_is_a_view_of_the_output_shares_its_memory() -> None:
    problem, inputs, output, reference = judged()
    whole = torch.cat([output.out.flatten(), torch.zeros(1000)])
    mine, theirs = whole[: output.out.numel()].view(output.out.shape), whole[: reference.lse.numel()]
    tensors = {**reference.tensors(), "lse": theirs.view(reference.lse.shape)}
    found = reference_faults(problem, inputs, Output(mine, output.lse), Reference.of_tensors("view", tensors))
    assert [finding.phrase for finding in found] == ["reference: lse shares memory with the kernel's out"]


EMPTY = Case(30, 10, head_dim=16, causal="bottom-right", dtype="float32")
"""The first 20 queries see no key."""


def test_rows_that_are_empty_by_the_mask_are_no_doubt() -> None:
    assert verdict_on(judged(EMPTY)).passed


@every_tolerance
@pytest.mark.parametrize("lse", [0.0, -3.4e38, math.inf, math.nan])
def test_a_reference_with_a_number_for_a_row_without_keys_never_passes(lse: float, tolerance: str) -> None:
    assert not verdict_on(broken_both("lse", lse, 3)(judged(EMPTY)), tolerance).passed


def test_a_reference_with_an_output_for_a_row_without_keys_is_doubted() -> None:
    assert (
        says_of(broken_reference("out", 0.5, 0), EMPTY)
        == "reference: out is not 0 in all rows without keys to attend to"
    )


def test_one_head_of_zeros_is_doubted() -> None:
    said = says_of(zero_heads_from(1))
    assert said.startswith("reference: out is 0 at batch 1, head 1, row 0, where it should reach ")


def zero_heads_from(batch: int) -> Break:
    """Out of the last head of a batch is zero on both sides."""
    rows = slice((2 * batch + 1) * 40 * 16, (2 * batch + 2) * 40 * 16)
    return broken_both("out", 0.0, rows)


@pytest.mark.parametrize(
    ("case", "recipe"),
    [
        (Case(40, 50, head_dim=16, dtype="float32"), "zeros"),
        (Case(40, 1, head_dim=16, dtype="float32"), "zeros"),
        (Case(40, 1, head_dim=16, dtype="float32"), "zeroquery"),
        (Case(8, 2, head_dim=1, dtype="bfloat16", query_heads=64), "integers"),
        (Case(1, 1, head_dim=1, dtype="float16", query_heads=64), "integers"),
        (Case(256, 256, head_dim=16, sparsity=0.5, block_shape=(64, 64)), "integers"),
    ],
)
@every_tolerance
def test_zeros_that_are_right_are_no_doubt(case: Case, recipe: Recipe, tolerance: str) -> None:
    verdict = verdict_on(judged(case, recipe), tolerance)
    assert verdict.passed, verdict.summary


@pytest.mark.parametrize("name", ["NaN", "inf", "-inf"])
@pytest.mark.parametrize("tensor", ["out", "lse"])
def test_a_result_that_is_not_finite_is_named_as_such(name: str, tensor: str) -> None:
    verdict = verdict_on(broken_output(tensor, NOT_FINITE[name], 77)(judged()))
    assert verdict.summary.startswith(f"{tensor}: not finite in 1 of 160 rows, first at batch 0, head ")


@pytest.mark.parametrize("name", [name for name in SHAPES if "reference" not in name])
def test_a_result_that_would_broadcast_is_no_output(name: str) -> None:
    problem, inputs, output, _ = SHAPES[name](judged())
    finding = read_output((output.out, output.lse), problem, inputs)
    assert isinstance(finding, Finding)
    assert finding.what == "shape"
