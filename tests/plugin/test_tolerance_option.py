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
    assert records()[0]["tolerance"] == "bsa"


def test_the_ini_twin_sets_it(judge, pytester):
    pytester.makeini("[pytest]\nattn_tolerance = bsa")
    judge("--attn-kernel=kernels.py:shifted").assert_outcomes(passed=1)


def test_the_flag_wins_over_the_ini_twin(judge, pytester):
    pytester.makeini("[pytest]\nattn_tolerance = bsa")
    judge("--attn-kernel=kernels.py:shifted", "--attn-tolerance=derived").assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("value", "allowed"), [("bsaa", "bsa, derived"), ("derivd", "derived, bsa"), ("", "bsa, derived")]
)
def test_an_unknown_one_names_the_closest(refusal, value, allowed):
    said = refusal(f"--attn-tolerance={value}")
    assert said == f"--attn-tolerance: unknown tolerance '{value}'; allowed: {allowed}"
