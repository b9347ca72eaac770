"""--attn-case: single cases, in or outside the sweeps."""

from __future__ import annotations

import pytest

OUTSIDE = "b1-h1-s63x65-d24-float32-both-exact"
EXAMPLE = "b1-h2-s1024-d128-bfloat16-sp50pct-bs128x512-both-exact"


def test_a_case_outside_the_sweeps_runs(judge):
    result = judge("-v", case=OUTSIDE)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*test_case[[]{OUTSIDE}[]] PASSED*"])


def test_repeated_it_runs_each(judge):
    judge(f"--attn-case={OUTSIDE}").assert_outcomes(passed=2)


def test_it_leaves_the_sweeps_out(pytester):
    result = pytester.runpytest(
        "--pyargs", "pytest_attn.suite.test_case", "pytest_attn.suite.test_smoke", f"--attn-case={OUTSIDE}"
    )
    result.assert_outcomes(passed=1)


def test_without_it_no_case_runs(pytester):
    result = pytester.runpytest("--pyargs", "pytest_attn.suite.test_case")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.assert_outcomes()


def test_the_ini_twin_takes_one_case_per_line(pytester):
    pytester.makeini(f"[pytest]\nattn_case =\n    {OUTSIDE}\n    {OUTSIDE.replace('float32', 'float16')}")
    pytester.runpytest("--pyargs", "pytest_attn.suite.test_case").assert_outcomes(passed=2)


def test_a_case_that_cannot_exist_says_why_and_is_not_green(judge):
    result = judge(case="b1-h1-s512-d128-bfloat16-sp90pct-bs512x512-both-exact")
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["SKIPPED * unsatisfiable: the sparsity leaves no block to keep"])


@pytest.mark.parametrize("value", ["", "nonsense", f"{OUTSIDE}-more"])
def test_what_does_not_parse_is_refused_with_an_example(refusal, value):
    said = refusal(f"--attn-case={value}")
    assert said.startswith(f"--attn-case: case id '{value}' does not parse; allowed: ids like '{EXAMPLE}'")


def test_a_data_type_that_nobody_knows_is_refused_by_name(refusal):
    said = refusal(f"--attn-case={OUTSIDE.replace('float32', 'float23')}")
    assert "dtype is 'float23'; allowed: bfloat16, float16, float32, float64" in said


def test_a_second_spelling_is_refused_with_the_first(refusal):
    said = refusal("--attn-case=b1-h1-kv1-s64-d32-float32-both-exact")
    assert said.endswith("is not in its one spelling; allowed: 'b1-h1-s64-d32-float32-both-exact'")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("b1-h3-kv2-s64-d32-float32-both-exact", "query_heads 3 is not a multiple of key_heads 2"),
        ("b1-h1-s0-d32-float32-both-exact", "query_length is 0; allowed: 1 or more"),
        ("b1-h1-s64-d32-float32-sp50pct-both-exact", "sparsity needs a block_shape"),
        ("b1-h1-s64-d32-float32-sp150pct-bs128x128-both-exact", "sparsity is 1.5; allowed: 0 to 1"),
        ("b1-h1-s64-d32-float32-bs64x64-framed-both-exact", "no published frame for block shape 64x64"),
        ("b1-h1-s64-d32-float32-causal-both-analytic", "the recipes zeros"),
    ],
)
def test_fields_that_contradict_each_other_are_refused_with_the_reason(refusal, value, reason):
    said = refusal(f"--attn-case={value}")
    assert said.startswith(f"--attn-case: case id '{value}'")
    assert reason in said
