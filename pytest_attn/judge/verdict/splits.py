"""The verdict on partial results: each split against the truth of its own keys, then all of them, merged.

Partial results are float32, or float64 where the inputs are. They are judged as those of the same numbers in that
precision: the truth is float64, and what the kernel rounds to the precision of its inputs is rounded to that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.budget.merging import Partial, merged, merged_output
from pytest_attn.judge.budget.precision import exp_error, tanh_error
from pytest_attn.judge.verdict.false_alarms import PER_CELL, FalseAlarms
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import OPTIONAL_PRECISIONS, EmptyRows, Numerics
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Ragged, Split, within
from pytest_attn.problem.problem import Problem

Truth = Callable[[Problem, Inputs], Reference]


def sides_of(
    problem: Problem, inputs: Inputs, kernel: Kernel, tolerance: str = DERIVED
) -> Iterator[tuple[Problem, Inputs]]:
    """Every problem, with its inputs, whose truth `judge_splits` asks for."""
    if tolerance != DERIVED:
        yield problem, inputs
        return
    whole, given = _in_dtype_of_partials(problem, inputs)
    yield from ((_of_split(whole, split), given) for split in _splits(problem, kernel))
    yield whole, given


def judge_splits(
    problem: Problem,
    inputs: Inputs,
    partials: Output,
    truth: Truth,
    kernel: Kernel,
    tolerance: str = DERIVED,
    alarms: FalseAlarms = PER_CELL,
) -> Verdict:
    """The verdict on partial results, out `[splits, B, Hq, Sq, Dv]` and lse `[splits, B, Hq, Sq]`: that of the first
    split that is wrong, else that of all, merged in float64; these share the rate of `alarms`. A flat tolerance is one
    of the merged result alone."""
    if tolerance != DERIVED:
        return judge(problem, inputs, merged_output(partials), truth(problem, inputs), kernel, tolerance)
    return Verdict.first_wrong(_verdicts(problem, inputs, partials, truth, kernel, alarms))


def _verdicts(
    problem: Problem, inputs: Inputs, partials: Output, truth: Truth, kernel: Kernel, alarms: FalseAlarms
) -> Iterator[Verdict]:
    assert partials.lse is not None
    numerics = _named(kernel.numerics_for(problem), problem)
    # Where results merge, a split without keys must say so, whatever the kernel declares of its result.
    kernel = replace(kernel, empty_rows=EmptyRows())
    whole, inputs = _in_dtype_of_partials(problem, inputs)
    parts, splits = [], _splits(problem, kernel)
    # Every split, and all of them merged.
    share = alarms.shared(len(splits) + 1)
    for split in splits:
        own, number = _of_split(whole, split), split.number
        reference = truth(own, inputs)
        allowed = allowed_error(own, inputs, reference, numerics)
        result = Output(partials.out[number], partials.lse[number])
        yield judge(own, inputs, result, reference, kernel, allowed=allowed, alarms=share).of(_words(split, whole))
        parts.append(Partial(result.out.cpu().double(), partials.lse[number].cpu().double(), allowed))
    out, lse, error = merged(parts)
    assert out is not None
    result, reference = Output(out, lse), truth(whole, inputs)
    yield judge(whole, inputs, result, reference, kernel, allowed=error, alarms=share).of("splits merged")


def _splits(problem: Problem, kernel: Kernel) -> list[Split]:
    count = problem.num_splits
    return [Split(number, count, kernel.capabilities.split_tile) for number in range(count)]


def _of_split(problem: Problem, split: Split) -> Problem:
    return replace(problem, mask=within(problem.mask, split))


def _words(split: Split, problem: Problem) -> str:
    own = split.keys(problem.lengths)
    keys = f" (keys {own.start}-{own.stop - 1})" if own and not isinstance(problem.mask, Ragged) else ""
    return f"split {split.number} of {split.count}{keys}"


def _in_dtype_of_partials(problem: Problem, inputs: Inputs) -> tuple[Problem, Inputs]:
    dtype = problem.out_dtype
    query, key, value = (tensor.to(dtype) for tensor in (inputs.query, inputs.key, inputs.value))
    content = f"{inputs.key_of_content}|{dtype}"
    return replace(problem, dtype=dtype), replace(inputs, query=query, key=key, value=value, key_of_content=content)


def _named(numerics: Numerics, problem: Problem) -> Numerics:
    """The same numerics, in which nothing depends on the dtype of the inputs any more."""
    dtype = str(problem.dtype).removeprefix("torch.")
    # Values are in float32 what they were before: nothing of them is rounded to that dtype again.
    names = ("probabilities", *OPTIONAL_PRECISIONS)
    own = {name: dtype for name in names if getattr(numerics, name) == "input"}
    chain = numerics.chain or problem.data_type.chain
    errors = {"exp_error": exp_error(problem, numerics), "tanh_error": tanh_error(problem, numerics)}
    return replace(numerics, **own, **errors, chain=chain)  # type: ignore[arg-type]
