"""A kernel that gives no log-sum-exp is judged on its output where a sweep asks for more."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.axes import AxisFilter
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep

BOTH = Case(129, 129, query_heads=2, head_dim=64, dtype="float32", causal="bottom-right")
OUT = "b1-h2-s129-d64-float32-causal-out-exact"
PUBLISHED = ("bsa-lse", "bsa-joint")


@pytest_attn.kernel(causal=True)
def causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scale: float, causal: bool) -> torch.Tensor:
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale, is_causal=causal)


@pytest_attn.kernel(causal=True)
def blind(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scale: float, causal: bool) -> torch.Tensor:
    """Ignores the mask."""
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)


def judged(kernel: Kernel, sweep: str, **options: Any) -> list[str]:
    """The ids of the cells of a sweep that would run."""
    session = Session(Options(**options))
    cells = (session.cell(kernel, case, sweep) for case in session.sweep(sweep, kernel))
    return [cell.case.id for cell in cells if cell.skipped() is None]


def without_lse(**claims: Any) -> Kernel:
    return pytest_attn.kernel(gqa=True, value_dim=True, causal=True, causal_top_left=True, **claims)(lambda *_, **__: 0)


@pytest.mark.parametrize("sweep", ["smoke"])
def test_it_is_judged_once_on_the_output_of_every_problem_of_a_table_that_it_claims(sweep: str) -> None:
    asked = [id.split("-") for id in judged(without_lse(lse=True), sweep)]
    outputs = {"-".join([*words, "out", oracle]) for *words, _, oracle in asked if oracle != "splitkeys"}
    tried = judged(without_lse(), sweep)
    assert Counter(tried) == dict.fromkeys(outputs, 1)


@pytest.mark.parametrize("sweep", ["boundary", "core", "decode"])
def test_cells_that_are_drawn_for_it_ask_for_the_output_alone(sweep: str) -> None:
    tried = judged(without_lse(), sweep)
    assert tried
    assert {Case.parse(id).ask for id in tried} == {"out"}
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("sweep", PUBLISHED)
def test_a_published_cell_that_asks_for_it_stays_unclaimed(sweep: str) -> None:
    assert {Case.parse(id).ask for id in judged(without_lse(), sweep)} <= {"out"}
    session, case = Session(Options()), next(case for case in find_sweep(sweep) if not case.unsatisfiable)
    skipped = session.cell(without_lse(), case, sweep).skipped()
    assert skipped is not None
    assert (skipped.case, skipped.reason) == (case.id, "not claimed: lse")


def test_an_ignored_mask_is_red_under_an_id_that_reproduces() -> None:
    record = Session(Options()).cell(blind, BOTH, "smoke").record()
    assert (record.case, record.fields["ask"], record.outcome) == (OUT, "out", "failed")
    again = Session(Options()).cell(blind, Case.parse(record.case)).record()
    assert (again.case, again.findings) == (record.case, record.findings)


def test_its_reproduce_line_names_the_case_that_was_judged() -> None:
    spec = f"{__file__}:blind"
    record = Session(Options()).cell(spec, BOTH, "smoke").record()
    assert f"--attn-case={OUT} " in record.reproduce


def test_a_right_kernel_passes_there() -> None:
    assert Session(Options()).cell(causal, BOTH, "smoke").record().outcome == "passed"


@pytest.mark.parametrize(
    "asked",
    [{"overclaim": True}, {"require": ("claimed",)}, {"axis": (AxisFilter.parse("ask=both"),)}],
    ids=["overclaim", "require", "axis"],
)
def test_who_asks_for_what_is_not_claimed_is_not_shown_something_else(asked: dict[str, Any]) -> None:
    assert Session(Options(**asked)).cell(causal, BOTH, "smoke").case == BOTH


def test_a_case_by_its_id_is_judged_as_it_is_asked_for() -> None:
    skipped = Session(Options()).cell(causal, BOTH).skipped()
    assert skipped is not None
    assert skipped.reason == "not claimed: lse"


def test_a_kernel_that_claims_it_is_asked_for_it() -> None:
    assert Session(Options()).cell(without_lse(lse=True), BOTH, "smoke").case == BOTH


def test_check_kernel_judges_the_same_cells() -> None:
    records = pytest_attn.check_kernel(causal, axis=["dtype=float32", "s=129", "causal=bottom-right"])
    assert [(record.case, record.outcome) for record in records] == [(OUT, "passed")]
