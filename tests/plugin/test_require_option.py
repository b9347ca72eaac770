"""--attn-require: skips that count as failures, and how much must have been judged."""

from __future__ import annotations

import pytest

NOT_HERE = ["--attn-budget=1e-9"]
NOT_CLAIMED = ["--attn-kernel=kernels.py:dense", "--attn-case=b1-h1-s64-d32-float32-lse-exact"]
IMPOSSIBLE = "b1-h1-s512-d128-bfloat16-sp90pct-bs512x512-both-exact"


def test_here_fails_what_is_not_here(judge):
    result = judge("--attn-require=here", *NOT_HERE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*: not here: over the FLOP budget, and --attn-require=here allows no such skip", "*failed 1 | not here 0 |*"]
    )


def test_claimed_fails_what_is_not_claimed(judge):
    result = judge("--attn-require=claimed", *NOT_CLAIMED)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*: not claimed: lse, and --attn-require=claimed allows no such skip"])


@pytest.mark.parametrize(
    ("requirement", "arguments"), [("here", NOT_HERE), ("claimed", NOT_CLAIMED)], ids=["here", "claimed"]
)
def test_the_printed_command_fails_in_the_same_way_from_another_directory(
    judge, run_reproduce_line, requirement, arguments
):
    result = judge(f"--attn-require={requirement},1", *arguments)
    done = run_reproduce_line(result)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"--attn-require={requirement} allows no such skip" in done.stdout
    assert "1 error" in done.stdout


def test_here_leaves_what_is_not_claimed_alone(judge):
    judge("--attn-require=here", *NOT_CLAIMED).assert_outcomes(passed=1, skipped=1)


def test_claimed_leaves_what_is_not_here_alone(judge):
    judge("--attn-require=claimed", *NOT_HERE).assert_outcomes(skipped=1)


@pytest.mark.parametrize(
    "arguments", [["--attn-require=here,claimed"], ["--attn-require=claimed", "--attn-require=here"]]
)
def test_several_are_given_with_commas_or_repeated(judge, arguments):
    judge(*arguments, *NOT_HERE).assert_outcomes(errors=1)


def test_what_cannot_exist_is_never_a_failure(judge):
    judge("--attn-require=here,claimed", f"--attn-case={IMPOSSIBLE}").assert_outcomes(passed=1, skipped=1)


def test_a_number_that_is_reached_is_green(judge):
    result = judge("--attn-require=1", *NOT_CLAIMED)
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.OK


def test_a_number_that_is_missed_makes_the_run_red(judge):
    result = judge("--attn-require=2", *NOT_CLAIMED)
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["not green: 1 * judged, --attn-require asks for 2"])


def test_the_ini_twin_sets_it(judge, pytester):
    pytester.makeini("[pytest]\nattn_require = here")
    judge(*NOT_HERE).assert_outcomes(errors=1)


@pytest.mark.parametrize("value", ["there", "-1", "1.5", "here,", ""])
def test_what_cannot_be_required_is_refused(refusal, value):
    wrong = value.rpartition(",")[2]
    said = refusal(f"--attn-require={value}")
    assert said == f"--attn-require: unknown requirement '{wrong}'; allowed: here, claimed, or a number of cells"
