"""--attn-budget: the work that one case may cost."""

from __future__ import annotations

import pytest

GFLOP = 4 * 32 * 64 * 64 / 1e9
"""What the tiny case costs."""

LARGE = "b1-h8-s16384-d128-bfloat16-out-exact"
"""1100 GFLOP; no test computes it."""


def test_a_case_above_it_is_skipped_and_the_run_not_green(judge):
    result = judge(f"--attn-budget={GFLOP / 2}")
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["SKIPPED * not here: over the FLOP budget"])


def test_a_case_that_costs_exactly_as_much_runs(judge):
    judge(f"--attn-budget={GFLOP}").assert_outcomes(passed=1)


def test_by_default_a_cpu_has_one(judge):
    result = judge(case=LARGE)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["attn *, budget: 80 GFLOP per case, *"])


def test_none_lifts_it(judge):
    result = judge("--attn-budget=none", "--attn-kernel=kernels.py:none", case=LARGE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["attn *, budget: no limit, *"])


def test_the_ini_twin_sets_it(judge, pytester):
    pytester.makeini(f"[pytest]\nattn_budget = {GFLOP / 2}")
    judge().assert_outcomes(skipped=1)


def test_the_flag_wins_over_the_ini_twin(judge, pytester):
    pytester.makeini(f"[pytest]\nattn_budget = {GFLOP / 2}")
    judge("--attn-budget=none").assert_outcomes(passed=1)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "lots", "80GFLOP", "None", ""])
def test_what_is_no_budget_is_refused(refusal, value):
    sentence = f"--attn-budget: '{value}' is no budget; allowed: GFLOP per case, a number above 0, or none"
    assert refusal(f"--attn-budget={value}") == sentence
