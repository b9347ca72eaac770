"""A cell of any kind, with errors as its budget says, is red at most as often as its rate of false alarms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from drawn_errors import Drawn, weight_errors
from scipy import stats

from pytest_attn.checks import subject
from pytest_attn.checks.registry import check_of
from pytest_attn.checks.relations import related
from pytest_attn.judge.verdict import derived, gradients, splits
from pytest_attn.judge.verdict.false_alarms import PER_CELL, FalseAlarms
from pytest_attn.problem.case import Case
from pytest_attn.problem.variants import NumSplits

RATE = 0.05
"""High enough to be seen in some hundred cells; the limits are the same functions of it."""

CELLS = 400
SURE = 0.999

VALUE = Case(20, 40, head_dim=16, query_heads=2, dtype="float32", ask="both")
SPLITS = Case(4, 300, head_dim=16, query_heads=2, dtype="float32", ask="both", variants=(NumSplits(3),))
GRADIENTS = replace(VALUE, ask="grad")
RELATION = replace(VALUE, key_length=140, oracle="splitkeys")
TWO_PLANS = replace(VALUE, causal="bottom-right", oracle="lastrow")
ONE_HEAD = replace(VALUE, oracle="lonehead")
AGAIN = replace(VALUE, oracle="again")
SEQUENCE = replace(VALUE, oracle="sequence")

LEAST = 0.4
"""Of its rate, what a cell at least uses up: the RMS is below its limit by MODEL, that of rows by their degrees of
freedom, which are fewer than the independent errors that are drawn."""

LEAST_OF_GRADIENTS = 0.1
"""Three statistics of four hardly ever use their part there: the mean is allowed what all rows have in common, too."""

LEAST_OF_ONE_HEAD = 0.1
"""All heads but one are compared with themselves."""


@pytest.fixture(autouse=True)
def budgets_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget of a split is derived with each verdict, and does not depend on the errors."""
    found: dict[Any, Any] = {}

    def once(problem: Any, inputs: Any, reference: Any, numerics: Any, original: Any = splits.allowed_error) -> Any:
        key = (problem, inputs.key_of_content, numerics)
        if key not in found:
            found[key] = original(problem, inputs, reference, numerics)
        return found[key]

    monkeypatch.setattr(splits, "allowed_error", once)


def bounds(case: Case, errors: str = "independent", rate: float = RATE) -> tuple[float, float]:
    """Exact bounds (Clopper and Pearson) of the probability that a cell is red, each with errors of its own."""
    drawn, check = Drawn.of(case, FalseAlarms(rate)), check_of(case.oracle)
    if errors == "weights":
        drawn = replace(drawn, deviates=weight_errors(drawn.problem, drawn.inputs))
    red = sum(not check.judge(drawn).passed for _ in range(CELLS))
    found = stats.binomtest(red, CELLS).proportion_ci(confidence_level=SURE)
    return found.low, found.high


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "least"),
    [
        pytest.param(VALUE, LEAST, id="value"),
        pytest.param(SPLITS, LEAST, id="splits"),
        pytest.param(RELATION, LEAST, id="relation"),
        pytest.param(TWO_PLANS, LEAST, id="two-plans"),
        pytest.param(ONE_HEAD, LEAST_OF_ONE_HEAD, id="one-head"),
        pytest.param(SEQUENCE, LEAST, id="sequence"),
        pytest.param(GRADIENTS, LEAST_OF_GRADIENTS, id="gradients"),
    ],
)
def test_the_share_of_red_cells_is_the_rate_at_most_and_not_far_below(case: Case, least: float) -> None:
    low, high = bounds(case)
    assert low <= RATE
    assert high >= least * RATE


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["normal", "large", "needle"])
def test_errors_that_a_row_has_in_common_are_no_more_often_red(recipe: Any) -> None:
    low, _ = bounds(replace(VALUE, ask="out", recipe=recipe), errors="weights")
    assert low <= RATE


def compared(case: Case, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rates of all results that a cell compares, where none is wrong."""
    rates: list[float] = []

    def spied(*given: Any, original: Any = subject.judge, **named: Any) -> Any:
        alarms = named.get("alarms") or given[7]
        rates.append(alarms.rate)
        return original(*given, **named)

    for module in (subject, related, splits):
        monkeypatch.setattr(module, "judge", spied)
    assert check_of(case.oracle).judge(Drawn.of(case, PER_CELL)).passed
    return rates


@pytest.mark.parametrize(
    ("case", "results"),
    [
        pytest.param(VALUE, 2, id="value"),
        pytest.param(AGAIN, 5, id="again"),
        pytest.param(SEQUENCE, 8, id="sequence"),
        pytest.param(RELATION, 3, id="relation"),
        pytest.param(TWO_PLANS, 4, id="two-plans"),
        pytest.param(ONE_HEAD, 4, id="one-head"),
        pytest.param(SPLITS, 8, id="splits"),
        pytest.param(GRADIENTS, 2, id="gradients"),
    ],
)
def test_the_results_of_a_cell_share_one_rate(case: Case, results: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = compared(case, monkeypatch)
    assert len(rates) == results
    assert sum(rates) == pytest.approx(PER_CELL.rate)


@pytest.mark.parametrize(
    ("module", "case", "statistics"), [(derived, VALUE, 5), (gradients, GRADIENTS, 12)], ids=["value", "gradients"]
)
def test_all_statistics_of_a_result_share_one_rate(
    module: Any, case: Case, statistics: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def spied(found: Any, alarms: FalseAlarms, original: Any = module.judged) -> Any:
        counts.append(len(found))
        return original(found, alarms)

    monkeypatch.setattr(module, "judged", spied)
    check_of(case.oracle).judge(Drawn.of(case, PER_CELL))
    # One result, and the same in poisoned memory.
    assert counts == [statistics, statistics]
