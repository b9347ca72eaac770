"""When there is a diagnosis, and when there is none."""

from __future__ import annotations

import pytest
import torch
from failing import diagnosis_of, failed_cell
from torch import Tensor

from pytest_attn.diagnosis import diagnose as module
from pytest_attn.diagnosis.diagnose import diagnose
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.execution.api import check_kernel
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, as_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

CASE = "b1-h2-s40x70-d32-float32-out-exact"
RED = Verdict((Finding(what="out_row_rms", tensor="out", words="wrong"),))


def counted(calls: list[int]) -> Kernel:
    """A wrong kernel that counts its calls."""

    def wrong(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        calls.append(1)
        return query + 0.1

    return as_kernel(wrong, "wrong")


def test_a_right_verdict_has_no_diagnosis() -> None:
    assert diagnose(failed_cell(TileLoop, CASE).subject, Verdict()) is None


def test_no_hypothesis_accounts_for_a_correct_kernel() -> None:
    evidence = module.Evidence(failed_cell(TileLoop, CASE).subject, RED, TimeBox(60))
    named = [hypothesis.__name__ for hypothesis in module.HYPOTHESES if hypothesis(evidence)]
    # Right when it is run again: that is what a verdict on a right kernel can only come from.
    assert named == ["repeated"]


@pytest.mark.parametrize("what", ["type", "shape", "dtype", "device", "raised"])
def test_a_fact_that_says_all_by_itself_has_no_diagnosis(what: str) -> None:
    calls: list[int] = []
    assert (
        diagnose(failed_cell(counted(calls), CASE).subject, Verdict((Finding(what=what, tensor="out", words="wrong"),)))
        is None
    )
    assert not calls


def test_a_kernel_that_raises_on_other_inputs_is_no_crash() -> None:
    class Picky(TileLoop):
        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            if not bool(query.any()) or key.shape[0] != 1:
                raise RuntimeError("zero queries")
            return 1.5 * super().scores(query, key)

    found = diagnosis_of(Picky, CASE)
    assert found is not None
    assert found.kind == "scale"


def test_an_error_that_nothing_explains_has_no_diagnosis() -> None:
    class Strange(TileLoop):
        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            return super().scores(query, key).sin() * 3.0

    assert diagnosis_of(Strange, CASE) is None


def test_a_case_that_costs_too_much_is_not_run_again() -> None:
    calls: list[int] = []
    subject = failed_cell(counted(calls), "b1-h1-s40000-d128-float32-out-exact").subject
    assert diagnose(subject, RED) is None
    assert not calls


def test_nothing_runs_when_the_time_is_over() -> None:
    calls: list[int] = []
    assert diagnose(failed_cell(counted(calls), CASE).subject, RED, TimeBox(0.0)) is None
    assert not calls


def test_a_run_that_takes_half_of_the_time_is_the_last_but_one() -> None:
    seconds = 0.0

    def wrong(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        nonlocal seconds
        seconds += 2.0
        return torch.full_like(query, seconds)

    subject = failed_cell(as_kernel(wrong, "slow"), CASE).subject
    assert diagnose(subject, RED, TimeBox(5.0, clock=lambda: seconds)) is None
    assert seconds == 2.0


def test_a_failed_record_names_kind_and_phrase() -> None:
    class OneShort(TileLoop):
        def diagonal(self, problem: Problem) -> int:
            return super().diagonal(problem) - 1

    kernel = failed_cell(OneShort, CASE).kernel
    record = check_kernel(kernel, case=["b1-h2-s40x70-d32-float32-causal-out-exact"])[0]
    assert record.kind == "causal diagonal"
    assert record.reason.endswith("; looks like: the causal diagonal is 1 key too short")


def test_a_finding_that_is_the_diagnosis_is_said_once() -> None:
    def writes(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        key.zero_()
        return query

    record = check_kernel(writes, case=[CASE])[0]
    assert record.kind == "inputs written"
    assert "looks like" not in record.reason


def test_a_passed_record_has_no_diagnosis() -> None:
    assert check_kernel("eager", case=[Case.parse(CASE).id])[0].diagnosis is None
