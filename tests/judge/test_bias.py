"""The mean of errors against its own standard error."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from pytest_attn.judge.verdict.bias import bias
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_independent_errors_have_the_usual_standard_error() -> None:
    found = bias(noise(2, 4, 300, 64), group=2)
    assert found is not None
    assert found.standard_error == pytest.approx((2 * 4 * 300 * 64) ** -0.5, rel=0.1)


def test_errors_that_rows_or_columns_share_count_once() -> None:
    by_row = bias(noise(1, 1, 300, 1).expand(-1, -1, -1, 64), group=1)
    by_column = bias(noise(1, 1, 1, 64).expand(-1, -1, 300, -1), group=1)
    assert by_row is not None
    assert by_column is not None
    assert by_row.standard_error == pytest.approx(300**-0.5, rel=0.15)
    assert by_column.standard_error == pytest.approx(64**-0.5, rel=0.3)


def test_the_limit_is_students_quantile() -> None:
    found = bias(noise(1, 1, 40, 10), group=1)
    assert found is not None
    assert found.degrees == 9
    assert found.limit(1e-6) == pytest.approx(stats.t.isf(5e-7, 9) * found.standard_error)


def test_few_columns_tell_nothing() -> None:
    assert bias(noise(1, 1, 3, 64), group=1) is None


def test_rounding_toward_zero_is_red_by_its_bias() -> None:
    problem = Problem.of(Case(300, 300, query_heads=2, dtype="bfloat16"))
    inputs = Inputs.draw(problem, seed=42)
    reference = stream(problem, inputs)
    assert reference.out is not None
    bits = reference.out.view(torch.int32) & -65536
    cut = Output(bits.view(torch.float32).bfloat16(), reference.lse.clone())
    verdict = judge(problem, inputs, cut, reference, Kernel("cut", find_kernel("sdpa").implementation))
    assert "out_bias" in {finding.what for finding in verdict.findings}, verdict.summary
