"""A declaration that would explain the errors: a suggestion to the author of a kernel, never an excuse.

The result that was judged wrong is judged again under other numerics; the kernel does not run. Numerics explain it only
where its errors also fill their budget: errors that are large in a few places alone, as those of a bug are, leave most
of a wider budget empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.limit import is_statistic
from pytest_attn.diagnosis.runs import Runs
from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.budget.precision import precision
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.problem import Problem

LEAST_FILL = 0.65
"""The RMS, in standard deviations of a budget, of errors that are those of its roundings; correct kernels show 0.7 to
1 (`benchmarks/calibration.py`)."""

LEAST_LSE_FILL = 0.3
"""The largest error of an LSE, of its limit, that is one of rounding."""

STORED = ("probabilities", "values", "scale", "logits", "accumulator", "split_parts")
"""Fields of `Numerics` that name a precision, and None that of sums."""

ROUNDED = ("scaled_query", "unscaled_logits", "stored_accumulator")
"""Fields of `Numerics` that name a precision, and None no rounding."""


class Candidate(NamedTuple):
    """Numerics that a kernel may have left undeclared: how they are written, and what a kernel does that has them."""

    written: str
    does: str
    numerics: Numerics


def undeclared(runs: Runs) -> Diagnosis | None:
    """The numerics under which the result of a kernel is right, and whose budget its errors fill best; the least
    generous of several."""
    problem, result, truth = runs.problem, runs.second, runs.truth
    if runs.subject.tolerance != DERIVED or problem.num_splits or not isinstance(result, Output):
        return None
    if not all(is_statistic(finding.what) for finding in runs.verdict.findings) or runs.right(result):
        return None
    kernel, tensors = runs.subject.kernel, {finding.tensor for finding in runs.verdict.findings}
    own, best = kernel.numerics_for(problem), None
    for candidate in candidates(own, problem):
        if runs.box.left <= 0:
            return None
        allowed = allowed_error(problem, runs.inputs, truth, candidate.numerics)
        verdict = judge(problem, runs.inputs, result, truth, kernel, allowed=allowed)
        if not verdict.passed or not all(_fills(verdict, tensor) for tensor in tensors):
            continue
        rank = (max(_misfit(verdict, tensor) for tensor in tensors), _size(allowed) * (1 + 1e-6))
        if best is None or rank < best[0]:
            best = (rank, candidate)
    if best is None:
        return None
    written, does, _ = best[1]
    return Diagnosis("precision", f"errors that {written} would explain: declare it if the kernel {does}")


def candidates(own: Numerics, problem: Problem) -> Iterator[Candidate]:
    """What differs from a kernel's own numerics in what it comes to for a problem, single fields first."""
    eager, scaled = Numerics.of_torch_eager(), Numerics.of_scaled_query()
    single = [
        ("logits='input'", "stores its scores in the input dtype", replace(own, logits="input")),
        (
            "unscaled_logits='input'",
            "stores query . key in the input dtype before it is scaled",
            replace(own, unscaled_logits="input"),
        ),
        ("scaled_query='input'", "stores query times scale in the input dtype", replace(own, scaled_query="input")),
        ("scale='input'", "rounds the scale to the input dtype", replace(own, scale="input")),
        ("exp_error=7e-5", "has a fast exponential", replace(own, exp_error=max(7e-5, own.exp_error or 0.0))),
        ("products='tf32'", "multiplies in TF32", replace(own, products="tf32")),
        ("probabilities='input'", "stores its weights in the input dtype", replace(own, probabilities="input")),
        (
            "stored_accumulator='input'",
            "stores its output after each tile",
            replace(own, stored_accumulator="input"),
        ),
        (
            "split=True, split_parts='input'",
            "merges parts that it stored in the input dtype",
            replace(own, split=True, split_parts="input"),
        ),
    ]
    backward = own.backward
    of_gradients = [
        (
            "backward=BackwardNumerics(stored_gradients='input')",
            "adds each tile to gradients of the input dtype",
            replace(own, backward=replace(backward, stored_gradients="input")),
        ),
        (
            "backward=Numerics.of_torch_eager().backward",
            "leaves its gradients to autograd of eager attention",
            replace(own, backward=eager.backward),
        ),
    ]
    sets = [
        (
            "Numerics.of_torch_eager()",
            "is eager attention in the input dtype",
            replace(eager, chain=own.chain, row_chain=own.row_chain),
        ),
        (
            "Numerics.of_torch_eager(scale='input')",
            "is eager attention with a scalar scale",
            replace(eager, scale="input"),
        ),
        ("Numerics.of_scaled_query()", "is eager attention that scales its query first", scaled),
    ]
    for each in [*single, *(of_gradients if problem.wants_grad else ()), *sets]:
        if _arithmetic(each[2], problem) != _arithmetic(own, problem):
            yield Candidate(*each)


def _arithmetic(numerics: Numerics, problem: Problem) -> tuple[object, ...]:
    """What numerics come to for a problem: "input" is no other precision where inputs are as precise as sums.

    Merging parts is left out: as what they are stored in, it is suggested together with that.
    """
    backward = numerics.backward
    fields = [getattr(numerics, name) for name in ("products", "normalized", "exp_error", "chain", "row_chain")]
    stored = [getattr(numerics, name) for name in STORED]
    # None is the precision of sums in some fields; in these it is no rounding at all.
    rounded = [getattr(numerics, name) for name in ROUNDED]
    if problem.wants_grad:
        fields += [backward.delta_of, backward.weights_of]
        stored += [backward.score_gradients, backward.grouped_gradients]
        rounded += [backward.probability_gradients, backward.scaled_score_gradients, backward.stored_gradients]
    once = (None if name is None else precision(name, problem) for name in rounded)
    return (*fields, *(precision(name, problem) for name in stored), *once)


def _fills(verdict: Verdict, tensor: str) -> bool:
    """Whether the errors of a tensor are as large as those numerics make them."""
    if tensor == "lse":
        return verdict.figures["lse_share"] >= LEAST_LSE_FILL
    return verdict.figures.get(f"{tensor}_rms", 0.0) >= LEAST_FILL


def _misfit(verdict: Verdict, tensor: str) -> float:
    """How far the RMS of the errors of a tensor is from the one expected, in steps of 2 %; 0 for an LSE."""
    return round(abs(math.log(verdict.figures.get(f"{tensor}_rms", 1.0))) / 0.02)


def _size(allowed: Budget) -> float:
    """How generous a budget is: its mean standard deviations, and what it lets errors have in common."""
    size = 0.0
    if allowed.out is not None:
        size += float(allowed.out.sigma.double().mean()) * (1 + allowed.out.systematic)
    if allowed.lse is not None:
        size += float(allowed.lse.sigma.double().mean()) + allowed.lse.shift
    for gradient in allowed.grads or ():
        size += float(gradient.allowed.sigma.mean()) * (1 + gradient.allowed.systematic)
    return size
