"""The mean of errors against its own standard error."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from pytest_attn.judge.budget.budget import OutBudget
from pytest_attn.judge.verdict.bias import Bias, Clusters, bias
from pytest_attn.judge.verdict.false_alarms import FalseAlarms
from pytest_attn.judge.verdict.judge import budget_of, judge
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def all_rows(deviations: Tensor, group: int) -> Bias:
    return bias(deviations, torch.ones(deviations.shape[:3], dtype=torch.bool), group)


def test_independent_errors_have_the_usual_standard_error() -> None:
    found = all_rows(noise(2, 4, 300, 64), group=2)
    assert found.standard_error == pytest.approx((2 * 4 * 300 * 64) ** -0.5, rel=0.1)


def test_errors_that_rows_or_columns_share_count_once() -> None:
    by_row = all_rows(noise(1, 1, 300, 1).expand(-1, -1, -1, 64), group=1)
    by_column = all_rows(noise(1, 1, 1, 64).expand(-1, -1, 300, -1), group=1)
    assert by_row.standard_error == pytest.approx(300**-0.5, rel=0.15)
    assert by_column.standard_error == pytest.approx(64**-0.5, rel=0.3)


def test_the_limit_is_students_quantile() -> None:
    found = all_rows(noise(1, 1, 40, 10), group=1)
    assert found.degrees == 9
    assert found.limit(FalseAlarms(1e-6)) == pytest.approx(stats.t.isf(5e-7, 9) * found.standard_error)


def test_rows_that_are_not_kept_are_no_clusters() -> None:
    kept = torch.zeros(2, 2, 300, dtype=torch.bool)
    kept[:, :, :5] = True
    assert Clusters.of(kept, columns=64, group=1) == Clusters(elements=20 * 64, rows=20, columns=4 * 64)


def test_columns_of_unequal_lengths_count_as_fewer() -> None:
    kept = torch.zeros(2, 1, 300, dtype=torch.bool)
    kept[0] = True
    kept[1, :, 0] = True
    assert Clusters.of(kept, columns=64, group=1).columns == pytest.approx(64, rel=1e-4)


def test_the_columns_of_a_group_are_those_of_its_key_head() -> None:
    assert Clusters.of(torch.ones(1, 8, 3, dtype=torch.bool), columns=64, group=4).columns == 2 * 64


def test_one_row_has_no_standard_error() -> None:
    assert (
        Clusters.of(torch.ones(1, 1, 1, dtype=torch.bool), columns=64, group=1).least(FalseAlarms(0.1), 1.0) == math.inf
    )


@pytest.mark.parametrize("shared", ["nothing", "rows", "columns"])
@pytest.mark.parametrize(("there", "rows", "columns"), [(8, 8, 64), (9, 300, 16), (40, 40, 6)])
def test_a_mean_of_no_bias_is_over_its_limit_at_the_stated_rate(
    there: int, rows: int, columns: int, shared: str
) -> None:
    source, rate, tries = torch.Generator().manual_seed(0), 0.01, 2000
    kept = torch.zeros(1, 1, rows, dtype=torch.bool)
    kept[:, :, :there] = True
    shape = {"nothing": (there, columns), "rows": (there, 1), "columns": (1, columns)}[shared]
    over = 0
    for _ in range(tries):
        deviations = torch.zeros(1, 1, rows, columns)
        deviations[:, :, :there] = torch.randn(shape, generator=source)
        found = bias(deviations, kept, 1)
        over += abs(found.mean) > found.limit(FalseAlarms(rate))
    assert stats.binomtest(over, tries, rate, alternative="greater").pvalue > 1e-3


def drawn(case: Case) -> tuple[Problem, Inputs, Kernel, Tensor, OutBudget]:
    """A problem, and what its output is and may be off by."""
    problem = Problem.of(case)
    inputs, kernel = Inputs.draw(problem, seed=42), Kernel("off", find_kernel("sdpa").implementation)
    reference = stream(problem, inputs)
    allowed = budget_of(problem, inputs, reference, kernel).out
    assert reference.out is not None
    assert allowed is not None
    return problem, inputs, kernel, reference.out, allowed


def cut_off(case: Case) -> Verdict:
    """On an output that is right before it is rounded toward zero."""
    problem, inputs, kernel, out, _ = drawn(case)
    cut = (out.view(torch.int32) & -65536).view(torch.float32).bfloat16()
    return judge(problem, inputs, Output(cut), stream(problem, inputs), kernel)


def moved(case: Case, shift: float) -> Verdict:
    """On an output that is right before so many standard deviations are added everywhere and it is rounded."""
    problem, inputs, kernel, out, allowed = drawn(case)
    off = (out + shift * allowed.sigma).to(problem.dtype)
    return judge(problem, inputs, Output(off), stream(problem, inputs), kernel)


def test_rounding_toward_zero_is_red_by_its_bias() -> None:
    verdict = cut_off(Case(300, 300, query_heads=2, dtype="bfloat16", ask="out"))
    assert "out_bias" in {finding.what for finding in verdict.findings}, verdict.summary


def test_rounding_toward_zero_of_a_dozen_rows_is_red_by_its_bias_alone() -> None:
    verdict = cut_off(Case(12, 300, head_dim=64, dtype="bfloat16", ask="out"))
    assert [finding.what for finding in verdict.findings] == ["out_bias"]


@pytest.mark.parametrize(("dim", "shift"), [(64, 1.7), (128, 1.3), (256, 0.9)])
def test_a_mean_of_seven_degrees_of_freedom_shows_what_the_rms_does_not(dim: int, shift: float) -> None:
    verdict = moved(Case(8, 300, head_dim=dim, dtype="bfloat16", ask="out"), shift)
    assert [finding.what for finding in verdict.findings] == ["out_bias"]


BLIND = [
    Case(8, 300, head_dim=32, dtype="bfloat16", ask="out"),
    Case(300, 300, head_dim=4, dtype="bfloat16", ask="out"),
]


@pytest.mark.parametrize("case", BLIND, ids=lambda case: case.id)
def test_a_mean_that_would_show_nothing_before_the_rms_is_not_judged(case: Case) -> None:
    verdict = moved(case, 0.0)
    assert verdict.passed
    assert "out_rms_share" in verdict.figures
    assert "out_bias_share" not in verdict.figures


@pytest.mark.parametrize("case", BLIND, ids=lambda case: case.id)
def test_where_the_mean_is_not_judged_the_rms_shows_a_shift(case: Case) -> None:
    assert [finding.what for finding in moved(case, 2.3).findings] == ["out_rms"]
