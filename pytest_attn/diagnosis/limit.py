"""A statistic that lies a little over its limit, as one that a few more bits or another draw would bring below it."""

from __future__ import annotations

import math
from typing import get_args

from pytest_attn.checks.subject import specified
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.runs import Runs
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.vocabulary import Recipe

NEAR = 1.15
"""A statistic of at most this share of its limit is near it."""

ALIKE = 1.3
"""Two runs whose shares differ by less than this factor differ by their roundings."""

STATISTICS = ("row_rms", "largest", "rms", "bias")
"""Ends of the names of what rounding can reach, beside `lse`."""


def is_statistic(what: str) -> bool:
    """Whether a finding is a statistic of rounding, not a fact."""
    return what == "lse" or what.split("_", 1)[-1] in STATISTICS


def largest_share(verdict: Verdict) -> float:
    """The largest share of its limit that a statistic reaches; infinite where facts are wrong."""
    shares = [size for name, size in verdict.figures.items() if name.endswith("_share")]
    return max(shares, default=math.inf)


def is_near_limit(verdict: Verdict) -> bool:
    """Whether nothing but statistics is wrong, none of them by much."""
    return all(is_statistic(finding.what) for finding in verdict.findings) and 1.0 < largest_share(verdict) <= NEAR


def is_right_alone(runs: Runs) -> bool:
    """Whether the second result is right in every row, and not for a rounding that fell the other way."""
    if not isinstance(runs.second, Output):
        return False
    verdict = runs.subject.compare(runs.problem, runs.inputs, runs.second)
    near = is_near_limit(runs.verdict) and largest_share(runs.verdict) < ALIKE * largest_share(verdict)
    return verdict.passed and not near


def near_limit(runs: Runs) -> Diagnosis | None:
    """How near its limit the worst statistic lies, and what becomes of it under another seed."""
    if not is_near_limit(runs.verdict) or not isinstance(runs.second, Output):
        return None
    share = largest_share(runs.verdict)
    phrase = f"near the limit: the worst statistic is {share:.3g} x its limit, and no known bug accounts for it"
    if runs.right(runs.second):
        phrase += "; run again on the same inputs it is green"
    other = _of_another_seed(runs)
    if other is not None:
        outcome = "green" if other.passed else "red as well"
        phrase += f"; with seed {runs.subject.seed + 1} it is {largest_share(other):.3g} x, {outcome}"
    return Diagnosis("precision", phrase)


def _of_another_seed(runs: Runs) -> Verdict | None:
    """The verdict on inputs of the next seed, drawn by the same recipe; None where that is not known."""
    subject, problem = runs.subject, runs.problem
    own = runs.inputs.key_of_content
    known = (each for each in get_args(Recipe) if Inputs.content(problem, subject.seed, each) == own)
    recipe = next(known, None)
    if recipe is None or problem.num_splits:
        return None
    drawn = Inputs.draw(problem, subject.seed + 1, recipe).to(subject.device.torch)
    inputs = specified(subject.kernel, problem, drawn)
    result = runs.run(problem, inputs)
    verdict = subject.compare(problem, inputs, result) if isinstance(result, Output) else None
    return verdict if verdict and all(is_statistic(each.what) for each in verdict.findings) else None
