"""--attn-tolerance: the derived budget, or the flat tolerance of a published suite."""

from __future__ import annotations

import pytest


def test_by_default_it_is_derived_and_refuses_a_shift_of_a_ten_thousandth(judge):
    judge("--attn-kernel=kernels.py:shifted").assert_outcomes(failed=1)


def test_bsa_passes_what_derived_refuses(judge):
    result = judge("--attn-kernel=kernels.py:shifted", "--attn-tolerance=bsa")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["attn *, tolerance: bsa, *"])


def test_bsa_refuses_a_large_error_and_says_by_how_much(judge, pytester):
    pytester.makepyfile(off="from kernels import dense\ndef far(*given, scale):\n    return dense(*given, scale) + 0.1")
    result = judge("--attn-kernel=off.py:far", "--attn-tolerance=bsa")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*: out: error 0.1, * x the tolerance bsa (rtol 0.01, atol 0.001), head 0, rows 0-63 *"]
    )


def test_the_records_name_it(judge, records):
    judge("--attn-tolerance=bsa", "--attn-output=out")
    assert records()[0].tolerance == "bsa"


def test_the_ini_twin_sets_it(judge, pytester):
    pytester.makeini("[pytest]\nattn_tolerance = bsa")
    judge("--attn-kernel=kernels.py:shifted").assert_outcomes(passed=1)


def test_the_flag_wins_over_the_ini_twin(judge, pytester):
    pytester.makeini("[pytest]\nattn_tolerance = bsa")
    judge("--attn-kernel=kernels.py:shifted", "--attn-tolerance=derived").assert_outcomes(failed=1)


FLAT = ["bsa", "allclose-1e-2", "flash-attention", "pytorch-fudge"]


@pytest.mark.parametrize("name", FLAT)
def test_every_named_one_passes_a_right_kernel_and_refuses_a_wrong_one(judge, pytester, name):
    pytester.makepyfile(off="from kernels import dense\ndef far(*given, scale):\n    return dense(*given, scale) + 0.1")
    judge("--attn-kernel=kernels.py:dense", f"--attn-tolerance={name}").assert_outcomes(passed=1)
    judge("--attn-kernel=off.py:far", f"--attn-tolerance={name}").assert_outcomes(failed=1)


@pytest.mark.parametrize("name", ["flash-attention", "pytorch-fudge"])
def test_a_case_of_the_lse_alone_is_skipped_where_it_says_nothing_of_the_lse(judge, name):
    lse = "b1-h1-s64-d32-float32-lse-exact"
    result = judge(f"--attn-tolerance={name}", case=lse)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*not here: the tolerance {name} says nothing of the LSE"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("name", ["bsa", "allclose-1e-2", "derived"])
def test_a_case_of_the_lse_alone_is_judged_where_it_says_something_of_the_lse(judge, name):
    judge(f"--attn-tolerance={name}", case="b1-h1-s64-d32-float32-lse-exact").assert_outcomes(passed=1)


def test_an_unknown_one_names_the_closest(refusal):
    said = refusal("--attn-tolerance=bsaa")
    listed = "bsa, allclose-1e-2, derived, flash-attention, pytorch-fudge"
    assert said == f"--attn-tolerance: unknown tolerance 'bsaa'; allowed: {listed}"


@pytest.mark.parametrize(("value", "first"), [("derivd", "derived, "), ("flash", "flash-attention, "), ("", "")])
def test_what_it_lists_begins_with_the_closest(refusal, value, first):
    said = refusal(f"--attn-tolerance={value}")
    assert said.startswith(f"--attn-tolerance: unknown tolerance '{value}'; allowed: {first}")
