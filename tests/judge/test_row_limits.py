"""The limit of a row's RMS holds its part of the rate at its true size, where no simulation reaches."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import optimize
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.budget.precision import ROUNDING_RMS, unit_roundoff
from pytest_attn.judge.verdict.derived import derived
from pytest_attn.judge.verdict.false_alarms import PER_CELL
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Recipe

ROWS = 20
STATISTICS = 4
"""Those of an output."""

UNIT = ROUNDING_RMS * unit_roundoff(torch.bfloat16)


def spectrum(problem: Problem, inputs: Inputs, reference: Reference, allowed: Budget, row: int) -> Tensor:
    """The mean square of a row is a sum of squared normal deviates times these: roundings of the weights, of which all
    columns have their share, and one of each element of the result."""
    assert reference.out is not None
    assert allowed.out is not None
    weights = (inputs.query.double() @ inputs.key.double().mT * problem.scale).softmax(dim=3)[0, 0, row]
    sigma = allowed.out.sigma[0, 0, row].double()
    of_weights = UNIT * weights.unsqueeze(1) * inputs.value[0, 0].double() / sigma
    of_result = UNIT * reference.out[0, 0, row].double() / sigma
    covariance = of_weights.T @ of_weights + of_result.square().diag()
    return torch.linalg.eigvalsh(covariance / problem.value_dim).clamp_min(0.0)


def log_probability(spectrum: Tensor, square: float) -> float:
    """The logarithm of the probability that a sum of squares is over this, by the saddle point of its moments
    (Daniels, 1987): within some per cent so far out."""

    def exponent(share: float) -> float:
        slope = share / (2 * float(spectrum.max()))
        return -slope * square - 0.5 * float((-2 * slope * spectrum).log1p().sum())

    found = optimize.minimize_scalar(exponent, bounds=(0.0, 1 - 1e-9), method="bounded")
    slope = float(found.x) / (2 * float(spectrum.max()))
    curvature = float((2 * spectrum.square() / (1 - 2 * slope * spectrum).square()).sum())
    return float(found.fun) - math.log(slope * math.sqrt(2 * math.pi * curvature))


@pytest.mark.parametrize(("keys", "dim"), [(40, 16), (64, 128), (1000, 64)])
@pytest.mark.parametrize("recipe", ["normal", "large", "needle", "negative", "headcoded", "keycoded", "largevalue"])
def test_roundings_of_weights_and_result_reach_the_limit_of_a_row_no_more_often(
    recipe: Recipe, keys: int, dim: int
) -> None:
    problem = Problem.of(Case(ROWS, keys, head_dim=dim, dtype="bfloat16", ask="out", recipe=recipe))
    inputs = Inputs.draw(problem, 42, recipe)
    reference = stream(problem, inputs)
    allowed = allowed_error(problem, inputs, reference, Numerics())
    assert reference.out is not None
    assert allowed.out is not None
    for row in range(ROWS):
        off = reference.out.clone()
        off[:, :, row] += 1000 * allowed.out.sigma[:, :, row]
        (finding,) = (
            found for found in derived(off, None, reference, allowed, inputs).findings if found.what == "out_row_rms"
        )
        assert finding.limit is not None
        most = math.log(PER_CELL.rate / STATISTICS / ROWS)
        assert log_probability(spectrum(problem, inputs, reference, allowed, row), finding.limit**2) <= most
