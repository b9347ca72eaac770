"""A declaration that would explain the errors: a suggestion to the author of a kernel, never an excuse.

The result that was judged wrong is judged again under other numerics; the kernel does not run. Numerics explain it only
where its errors also fill their budget, in most rows as in all: errors that are large in a few places alone, as those
of a bug are, leave most of a wider budget empty. Of several that do, the one is named under which errors of just these
sizes, row by row, are the likeliest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from pytest_attn.diagnosis.candidates import Candidate, candidates
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.limit import is_statistic
from pytest_attn.diagnosis.runs import Runs
from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.kernels.kernel import Output

GRADIENTS = ("dq", "dk", "dv")

LEAST_FILL = 0.65
"""The RMS, in standard deviations of a budget, of errors that are those of its roundings, and the median of that of
rows. A calibration, by `benchmarks/declaration_fills.py`: of 450 red cells of planted bugs none fills a budget under
which it is right to more than 0.59 in most rows; of 36 of kernels of other people, right under what they declare, 24
fill one to 0.65 and more, and for the other twelve nothing is suggested."""

LEAST_LSE_FILL = 0.25
"""The same of an LSE. One that is rounded to nearest is off by an even spread up to something between half of its bound
and all of it, so that the median is a quarter of the bound or more; measured, 0.30 to 0.42, and 0.02 for planted
bugs."""

FEWEST_ROWS = 8
"""Rows whose errors say how large errors are; the weights of one row may be off together."""

EQUALLY_LIKELY = 0.01
"""Difference of two mean log-likelihoods of an error below which both explain it."""


class Fit(NamedTuple):
    """How well numerics explain the errors of a result.

    `rows`: how many have errors. `fill`: the RMS of these, of the tensor that has the smallest, in standard deviations
    of the budget; `typical`: the median of that of rows. `lse_fill` and `typical_lse`: the same of the LSE, in standard
    deviations and the most that is not random. Each is infinite where it is not that which is wrong. `surprise`: minus
    the mean log-likelihood of an error, summed over all tensors.
    """

    candidate: Candidate
    rows: int
    fill: float
    typical: float
    lse_fill: float
    typical_lse: float
    surprise: float

    @property
    def full(self) -> bool:
        """Whether the errors are as large as those numerics make them."""
        filled = min(self.fill, self.typical) >= LEAST_FILL and min(self.lse_fill, self.typical_lse) >= LEAST_LSE_FILL
        return filled and self.rows >= FEWEST_ROWS


def undeclared(runs: Runs) -> Diagnosis | None:
    """The numerics under which the result of a kernel is right, and whose errors those are likeliest to be."""
    found = sorted((fit for fit in fits(runs) if fit.full), key=lambda fit: fit.surprise)
    if not found:
        return None
    equal = [fit for fit in found if fit.surprise - found[0].surprise <= EQUALLY_LIKELY]
    # Candidates stand in order from the single field to the named set: the first says least.
    first = min(equal, key=lambda fit: fit.candidate.place)
    written, does, *_ = first.candidate
    # What explains one cell may be part of what explains all of them.
    sets = [fit.candidate.written for fit in found if fit.candidate.named_set and fit is not first]
    also = f", as {sets[0]} would" if sets and not first.candidate.named_set else ""
    return Diagnosis("precision", f"errors that {written} would explain{also}: declare it if the kernel {does}")


def fits(runs: Runs) -> Iterator[Fit]:
    """All numerics under which the result of a kernel is right, with how well they explain its errors."""
    problem, result, truth = runs.problem, runs.second, runs.truth
    if runs.subject.tolerance != DERIVED or problem.num_splits or not isinstance(result, Output):
        return
    if not all(is_statistic(finding.what) for finding in runs.verdict.findings) or runs.right(result):
        return
    kernel, tensors = runs.subject.kernel, {finding.tensor for finding in runs.verdict.findings}
    for candidate in candidates(kernel.numerics_for(problem), problem):
        if runs.box.left <= 0:
            return
        allowed = allowed_error(problem, runs.inputs, truth, candidate.numerics)
        verdict = judge(problem, runs.inputs, result, truth, kernel, allowed=allowed)
        if verdict.passed:
            yield _fit(candidate, runs, allowed, tensors)


def _fit(candidate: Candidate, runs: Runs, allowed: Budget, wrong: set[str]) -> Fit:
    """The fit of the tensors that are `wrong`; what is right must be as likely as before."""
    deviations = dict(_deviations(runs, allowed))
    rows = {name: each.z.square().mean(dim=1).sqrt() for name, each in deviations.items()}
    fills = {name: float(each.z.square().mean().sqrt()) for name, each in deviations.items()}
    surprise = sum(float((each.sigma.log() + each.z.square() / 2).mean()) for each in deviations.values())

    def least(figures: Mapping[str, float], names: set[str]) -> float:
        return min((figures[name] for name in names), default=math.inf)

    typical = {name: float(each.median()) for name, each in rows.items()}
    return Fit(
        candidate,
        rows=min(len(rows[name]) for name in wrong),
        fill=least(fills, wrong - {"lse"}),
        typical=least(typical, wrong - {"lse"}),
        lse_fill=least(fills, wrong & {"lse"}),
        typical_lse=least(typical, wrong & {"lse"}),
        surprise=surprise,
    )


class _Deviations(NamedTuple):
    """Errors `[rows, D]` of the rows of a tensor that have keys, float64: `z` in the units `sigma`."""

    z: Tensor
    sigma: Tensor


def _deviations(runs: Runs, allowed: Budget) -> Iterator[tuple[str, _Deviations]]:
    """The deviations of every tensor that has a budget, by name."""
    result, truth, kept = runs.second, runs.truth, ~runs.truth.empty_rows
    assert isinstance(result, Output)
    if allowed.out is not None and truth.out is not None:
        yield "out", _deviation(result.out, truth.out, allowed.out.sigma, kept)
    if allowed.lse is not None and result.lse is not None:
        found, exact, limits = (each.unsqueeze(3) for each in (result.lse, truth.lse, allowed.lse.limits(1.0)))
        yield "lse", _deviation(found, exact, limits, kept)
    if allowed.grads is not None and result.grads is not None and truth.grads is not None:
        for name, found, exact, budget in zip(GRADIENTS, result.grads, truth.grads, allowed.grads, strict=True):
            yield name, _deviation(found, exact, budget.allowed.sigma, (exact != 0).any(dim=3))


def _deviation(found: Tensor, exact: Tensor, sigma: Tensor, kept: Tensor) -> _Deviations:
    unit = sigma.double()[kept]
    return _Deviations((found.double() - exact.double())[kept] / unit, unit)
