"""Judging without pytest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.checks import subject
from pytest_attn.checks.registry import check_of
from pytest_attn.devices.device import Device
from pytest_attn.execution.reproduce import reproduce
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.judge import budget_of
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.records.record import Record
from pytest_attn.report.summary import claim_line, time_split, why_nothing_ran

SMALL = Case(40, 50, head_dim=16, dtype="float32", ask="out")


def record_of(function: Any, case: Case = SMALL, **options: Any) -> Record:
    return Session(Options(**options)).cell(pytest_attn.kernel(lse=True)(function), case).record()


def right(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, scale: float, return_lse: bool) -> Any:
    scores = q @ k.mT * scale
    out = scores.softmax(dim=3) @ v
    return (out, scores.logsumexp(dim=3)) if return_lse else out


def test_a_right_kernel_passes_with_figures_and_times() -> None:
    record = record_of(right)
    assert record.outcome == "passed"
    assert record.figures["out_rms"] < 2
    assert set(record.seconds) == {"inputs", "kernel", "oracle", "judge"}
    assert record.oracle == "exact"


def test_a_kernel_that_raises_fails_with_reason_and_place() -> None:
    def broken(q: Any, k: Any, v: Any, **keywords: Any) -> Any:
        raise RuntimeError("no\nworkspace")

    record = record_of(broken)
    assert record.outcome == "failed"
    assert record.reason.startswith("the kernel raised RuntimeError: no workspace (")
    assert "test_session.py:" in record.reason


def test_a_kernel_that_writes_into_its_inputs_fails_and_spoils_nothing() -> None:
    def spoiling(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **keywords: Any) -> Any:
        out = right(q, k, v, **keywords)
        k.zero_()
        return out

    session = Session(Options())
    record = session.cell(pytest_attn.kernel(lse=True)(spoiling), SMALL).record()
    assert record.reason.startswith("the kernel wrote into its inputs: key")
    assert session.cell(pytest_attn.kernel(lse=True)(right), SMALL).record().outcome == "passed"


def related(needs: str, kernel: pytest_attn.Kernel, case: Case) -> None:
    """Holds that a relation whose further problem needs an unclaimed thing runs under claims of that as well."""
    cell = Session(Options(overclaim=True)).cell(kernel, case)
    problems = [*check_of(case.oracle).problems(cell.problem)]
    declared = [kernel.capabilities.why_not(problem, "cpu") for problem in problems]
    assert (declared[0], *{*declared[1:]}) == (None, needs)
    assert cell.skipped() is None
    assert cell.overclaimed == needs
    assert [cell.kernel.capabilities.why_not(problem, "cpu") for problem in problems] == [None] * len(problems)


def test_what_a_further_problem_of_a_relation_needs_is_overclaimed() -> None:
    square = pytest_attn.kernel(causal=True, cross_attention=False)(right)
    related("cross_attention", square, Case(40, 40, causal="bottom-right", ask="out", oracle="lastrow"))
    two_key_heads = pytest_attn.kernel(gqa=True, key_heads=2)(right)
    related("key_heads 4", two_key_heads, Case(40, 40, query_heads=4, key_heads=2, ask="out", oracle="expandedheads"))


def test_a_relation_whose_further_problem_is_overclaimed_is_judged() -> None:
    kernel = pytest_attn.kernel(lse=True, cross_attention=False)(right)
    case = Case(40, 40, head_dim=16, dtype="float32", oracle="duplicatedkeys")
    assert Session(Options()).cell(kernel, case).record().reason == "not claimed: cross_attention"
    assert Session(Options(overclaim=True)).cell(kernel, case).record().outcome == "passed"


@pytest.mark.parametrize("overclaim", [False, True])
def test_to_ask_whether_a_cell_runs_changes_nothing(overclaim: bool) -> None:
    case = Case(40, 40, causal="bottom-right", ask="out")
    cell = Session(Options(overclaim=overclaim)).cell(pytest_attn.kernel()(right), case)
    before = (cell.kernel, cell.overclaimed)
    assert cell.skipped() == cell.skipped()
    assert (cell.kernel, cell.overclaimed) == before


def test_a_kernel_that_claims_everything_is_itself_under_overclaim() -> None:
    kernel = pytest_attn.kernel(lse=True)(right)
    assert Session(Options(overclaim=True)).cell(kernel, SMALL).kernel is kernel


def test_a_cell_says_why_it_does_not_run() -> None:
    unsatisfiable = Case(512, 512, sparsity=0.9, block_shape=(1024, 1024))
    assert record_of(right, unsatisfiable).reason == "unsatisfiable: the sparsity leaves no block to keep"
    assert record_of(right, Case(8, 8, causal="top-left")).reason == "not claimed: causal_top_left"
    assert record_of(right, SMALL, budget=1e-9).reason == "not here: over the FLOP budget"
    assert record_of(right, SMALL, device=("npu",)).reason == "not here: torch_npu is not installed"


def test_the_cells_of_one_shape_share_inputs() -> None:
    session = Session(Options())
    cells = [
        session.cell("eager", Case(256, 256, ask=ask, scale=scale)) for ask, scale in (("out", None), ("lse", 0.5))
    ]
    assert cells[0].inputs is cells[1].inputs


def test_another_seed_gives_other_inputs() -> None:
    first, second = (Session(Options(seed=seed)).cell("eager", SMALL).inputs for seed in (1, 2))
    assert not torch.equal(first.query, second.query)


def test_devices_are_dealt_out_to_workers() -> None:
    devices = [Session(Options(device=("cuda:0", "cuda:1")), worker=(index, "")).device.index for index in range(4)]
    assert devices == [0, 1, 0, 1]


def test_check_kernel_gives_a_record_for_every_cell() -> None:
    records = pytest_attn.check_kernel(pytest_attn.kernel(lse=True, value_dim=True)(right), sweep="smoke")
    assert len(records) == 177
    assert {record.outcome for record in records} >= {"passed", "not claimed"}
    with pytest.raises(ValueError, match="unknown sweep 'smok'; allowed: smoke"):
        pytest_attn.check_kernel("eager", sweep="smok")


def test_a_reproduce_line_names_the_file_absolutely(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = reproduce("my file.py:attend", SMALL, Options(seed=7, tolerance="bsa"), Device("cpu"))
    assert f"'--attn-kernel={tmp_path}/my file.py:attend'" in line
    assert f"--attn-case={SMALL.id} --attn-seed=7 --attn-tolerance=bsa" in line
    assert not line.startswith("cd ")
    assert reproduce("mine:attend", SMALL, Options(), Device("cpu")).startswith(f"cd {tmp_path} && ")


def records(**counts: int) -> list[Record]:
    return [
        Record(case="c", kernel="k", outcome=outcome.replace("_", " "), why=f"{outcome}: why")  # type: ignore[arg-type]
        for outcome, count in counts.items()
        for _ in range(count)
    ]


def test_the_claim_line_counts_every_cell_once() -> None:
    line = claim_line(records(passed=5, failed=2, not_here=3, not_claimed=4, unsatisfiable=1))
    assert line == "claimed 10 of 15 | ran 7 | passed 5 | failed 2 | not here 3 | not claimed 4 | unsatisfiable 1"


def test_the_time_split_adds_up() -> None:
    spent = {"kernel": 10.0, "oracle": 2.0, "judge": 1.0, "inputs": 0.5}
    line = time_split([Record(case="c", kernel="k", outcome="passed", seconds=spent)], 15.0)
    assert line == "kernel 10.0 s | oracle 2.0 s | judge 1.0 s | rest 2.0 s | 5.0 s beside the kernel"


def test_a_run_without_verdicts_says_why() -> None:
    assert why_nothing_ran(records(not_here=3, unsatisfiable=1)) == "3 not_here: why, 1 unsatisfiable: why"
    assert why_nothing_ran([]) == "no cell was selected"


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """The problems for which a budget was derived."""
    found: list[Any] = []

    def derive(problem: Any, *given: Any) -> Any:
        found.append(problem)
        return budget_of(problem, *given)

    monkeypatch.setattr(subject, "budget_of", derive)
    return found


def test_neighbours_of_the_same_problem_inputs_and_oracle_share_a_budget(derived: list[Any]) -> None:
    session = Session(Options())
    for block_shape in (None, (16, 16), (32, 16)):
        record = session.cell(pytest_attn.kernel(lse=True)(right), replace(SMALL, block_shape=block_shape)).record()
        assert record.outcome == "passed"
    assert len(derived) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": "growing"},
        {"oracle": "loop"},
        {"ask": "both"},
        {"scale": 0.5},
        {"key_length": 49},
        {"sparsity": 0.5, "block_shape": (16, 16)},
    ],
)
def test_another_problem_or_other_inputs_or_another_oracle_has_a_budget_of_its_own(
    derived: list[Any], other: dict[str, Any]
) -> None:
    session = Session(Options())
    kernel = find_kernel("naive")
    for case in (SMALL, replace(SMALL, **other)):
        assert session.cell(kernel, case).record().outcome == "passed"
    assert len(derived) == 2


def test_other_numerics_have_a_budget_of_their_own(derived: list[Any]) -> None:
    session = Session(Options())
    for numerics in (pytest_attn.Numerics(), pytest_attn.Numerics(exp_error=2.0**-10)):
        session.cell(pytest_attn.kernel(lse=True, numerics=numerics)(right), SMALL).record()
    assert len(derived) == 2


def test_a_kernel_that_leaves_other_rows_without_gradients_has_a_budget_of_its_own() -> None:
    session, problem = Session(Options()), Problem.of(SMALL)
    kernels = [find_kernel("naive"), replace(find_kernel("naive"), empty_rows=pytest_attn.EmptyRows(out="any"))]
    shared = [session.budgets(kernel, SMALL, problem) for kernel in kernels]
    assert shared[0] is not shared[1]
