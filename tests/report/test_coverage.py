"""How often each claim was tried, and what a run of everything should have tried and did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import pytest_attn
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.records.declared import Declared
from pytest_attn.records.record import Record
from pytest_attn.report import coverage
from pytest_attn.report.coverage import coverage_line, coverage_of, never_tried, words_of

DECLARED = Declared(
    kernel="k",
    claims=("dtype float16", "dtype float32", "causal", "gqa"),
    refuses=("causal in float16",),
)
SMOKE = [case.id for case in find_sweep("smoke")]


def cell(number: int, *needs: str, outcome: Any = "passed", why: str = "") -> Record:
    return Record(case=SMOKE[number], kernel="k", outcome=outcome, why=why, sweep="smoke", needs=needs)


def whole(*cells: Record) -> list[Record]:
    """Every cell of smoke: those given, the rest without need of anything."""
    own = {record.case for record in cells}
    return [*cells, *(cell(number) for number, case in enumerate(SMOKE) if case not in own)]


@pytest.fixture
def smoke_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smoke is meant to try every claim."""
    monkeypatch.setattr(coverage, "WHOLE", frozenset({"smoke"}))


def untried(records: Iterable[Record], declared: Declared = DECLARED) -> list[str]:
    return [words_of(claims) for claims in never_tried(declared, [*records])]


ENOUGH = (
    cell(0, "dtype float16", "causal"),
    cell(1, "dtype float32", "causal"),
    cell(2, "dtype float16", "gqa"),
    cell(3, "dtype float32", "gqa"),
)


def test_judged_cells_are_counted_by_claim_and_by_two_of_them() -> None:
    found = coverage_of(DECLARED, [*ENOUGH, cell(4, "dtype float32", "causal", outcome="failed"), ENOUGH[0]])
    assert [*found.singles.values()] == [2, 3, 3, 2]
    assert {words_of(pair): count for pair, count in found.pairs.items()} == {
        "causal with dtype float16": 1,
        "gqa with dtype float16": 1,
        "causal with dtype float32": 2,
        "gqa with dtype float32": 1,
        "gqa with causal": 0,
    }


def test_cells_of_another_kernel_do_not_count() -> None:
    other = Declared(kernel="other", claims=DECLARED.claims)
    assert set(coverage_of(other, ENOUGH).tried.values()) == {0}


@pytest.mark.usefixtures("smoke_is_all")
def test_where_all_was_tried_nothing_is_missing() -> None:
    assert untried(whole(*ENOUGH)) == []


@pytest.mark.usefixtures("smoke_is_all")
@pytest.mark.parametrize(
    "cells",
    [
        ENOUGH[:2],
        (*ENOUGH[:2], cell(2, "dtype float16", "gqa", outcome="not claimed", why="not claimed: causal in float16")),
        (*ENOUGH[:2], cell(2, "dtype float16", "gqa", outcome="not claimed", why="not claimed: lse")),
    ],
    ids=["no cell has it", "refused wherever it is", "beside what is not claimed"],
)
def test_a_claim_that_no_judged_cell_has_is_missing(cells: tuple[Record, ...]) -> None:
    assert "gqa" in untried(whole(*cells))


@pytest.mark.usefixtures("smoke_is_all")
def test_a_claim_that_was_not_judged_in_one_dtype_is_missing() -> None:
    unclaimed = cell(0, "dtype float16", "causal", outcome="not claimed", why="not claimed: lse")
    assert untried(whole(unclaimed, *ENOUGH[1:])) == ["causal with dtype float16"]


@pytest.mark.usefixtures("smoke_is_all")
def test_what_the_kernel_says_that_it_refuses_in_one_dtype_is_not() -> None:
    refused = cell(0, "dtype float16", "causal", outcome="not claimed", why="not claimed: causal in float16")
    assert untried(whole(refused, *ENOUGH[1:])) == []


@pytest.mark.usefixtures("smoke_is_all")
def test_what_is_not_here_is_not() -> None:
    away = cell(0, "dtype float16", "causal", outcome="not here", why="not here: over the FLOP budget")
    assert untried(whole(away, *ENOUGH[1:])) == []


@pytest.mark.usefixtures("smoke_is_all")
def test_a_dtype_of_another_package_is_not() -> None:
    declared = Declared(kernel="k", claims=(*DECLARED.claims, "dtype float9"))
    assert untried(whole(*ENOUGH), declared) == []


@pytest.mark.usefixtures("smoke_is_all")
def test_nothing_is_where_one_cell_was_left_out() -> None:
    assert untried(whole(*ENOUGH[:2])[:-1]) == []


def test_nothing_is_where_a_sweep_was_left_out() -> None:
    assert untried(whole(*ENOUGH[:2])) == []


def test_the_line_names_what_nothing_tried_and_what_few_cells_did() -> None:
    line = coverage_line(DECLARED, whole(*ENOUGH, cell(4, "dtype float32", "causal")))
    assert line == (
        "cells by claim [k]: fewest for dtype float16 2, gqa 2, causal 3; none for 1 of 5 pairs of claims (gqa with "
        "causal), fewest for causal with dtype float16 1, gqa with dtype float16 1, gqa with dtype float32 1"
    )


def test_there_is_no_line_for_a_selection() -> None:
    assert coverage_line(DECLARED, ENOUGH) == ""


def ended(kernel: Kernel, session: Session) -> Iterator[Record]:
    """A record of every cell of the sweeps that are meant to try every claim."""
    for sweep in sorted(coverage.WHOLE):
        for case in session.sweep(sweep, kernel):
            found = session.cell(kernel, case, sweep)
            yield found.skipped() or found.record()


def narrow(**claims: Any) -> Kernel:
    """A kernel of float32 that is right wherever it is dense."""

    @pytest_attn.kernel(dtypes="float32", **claims)
    def kernel(query: Any, key: Any, value: Any, *, scale: float, **keywords: Any) -> Any:
        return (query.double() @ key.double().mT * scale).softmax(dim=3).matmul(value.double()).to(query.dtype)

    return kernel


@pytest.fixture
def decoding_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn sweep and a table are meant to try every claim."""
    monkeypatch.setattr(coverage, "WHOLE", frozenset({"smoke", "decode"}))


def missing(kernel: Kernel) -> list[str]:
    session = Session(Options())
    records = [*ended(kernel, session)]
    return untried(records, session.declared(kernel))


@pytest.mark.usefixtures("decoding_is_all")
def test_a_head_dimension_that_is_refused_is_missing_after_all_sweeps() -> None:
    refuses = {"head_dim 48": lambda problem: problem.head_dim == 48}
    assert missing(narrow(head_dims=(40, 48), any_scale=False, refuses=refuses)) == ["head_dim 48"]


@pytest.mark.usefixtures("decoding_is_all")
def test_a_claim_that_is_refused_wherever_it_is_needed_is_missing_after_all_sweeps() -> None:
    kernel = narrow(head_dims=40, causal=True, refuses={"causal": lambda problem: problem.causal is not None})
    assert "causal" in missing(kernel)
