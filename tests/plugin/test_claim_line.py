"""What stands at the end of a run, and that a run which judged nothing is not green."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_attn.report import coverage

MULTIHEAD = """
import pytest_attn

@pytest_attn.parametrize(sweep="bsa-lse", group="lse_sparse_multihead")
def test_multihead(attn):
    attn.check()
"""
"""At 2x512, 16 block shapes at 4 sparsities make 64 cells. The grid has 16, 8, 4, 2 or 1 blocks (for 1, 2, 5, 4 and 4
shapes). At sparsity .3 and .5 the last 4 shapes keep none, at .7 the last 8, at .9 all but the first: in all 31."""


@pytest.fixture
def small(pytester):
    """Runs the 64 smallest cells of the published multi-head group."""
    pytester.makepyfile(test_multihead=MULTIHEAD)

    def run(*arguments):
        return pytester.runpytest("test_multihead.py", "--attn-axis=s=512", "--attn-axis=h=2", *arguments)

    return run


def test_it_counts_what_passed_and_what_cannot_exist(small):
    result = small("--attn-kernel=block_sparse")
    result.assert_outcomes(passed=33, skipped=31, deselected=192)
    assert "claimed 33 of 64 | ran 33 | passed 33 | failed 0 | not here 0 | not claimed 0 | unsatisfiable 31" in (
        result.outlines
    )


def test_it_counts_what_is_not_claimed_and_not_here(small, pytester):
    result = small("--attn-kernel=eager", "--attn-kernel=kernels.py:dense", "--attn-budget=0.2")
    ran = result.parseoutcomes()["passed"]
    assert 0 < ran < 33
    assert (
        f"claimed 33 of 128 | ran {ran} | passed {ran} | failed 0 | not here {33 - ran} | not claimed 33 "
        "| unsatisfiable 62"
    ) in result.outlines


def test_it_counts_what_failed(judge):
    result = judge("--attn-kernel=kernels.py:none", "--attn-kernel=kernels.py:dense")
    assert "claimed 2 of 2 | ran 2 | passed 1 | failed 1 | not here 0 | not claimed 0 | unsatisfiable 0" in (
        result.outlines
    )


def test_the_next_line_says_where_the_time_went(judge):
    judge().stdout.re_match_lines(
        [r"claimed 1 of 1 .*", r"time: kernel [\d.]+ s \| oracle [\d.]+ s \| judge [\d.]+ s \| rest [\d.]+ s.*"],
        consecutive=True,
    )


def test_the_header_names_kernel_machine_and_selection_in_three_lines(judge):
    judge("--attn-kernel=eager", "--attn-seed=7").stdout.fnmatch_lines(
        [
            "attn kernel: eager",
            "attn device: cpu, * cores, *",
            "attn sweep: all, case: b1-h1-*, seed: 7, budget: 80 GFLOP per case, tolerance: derived, cache: *",
        ],
        consecutive=True,
    )


def test_everything_skipped_is_red_with_the_reasons(judge):
    result = judge(
        "--attn-budget=1e-9", "--attn-kernel=kernels.py:dense", "--attn-case=b1-h1-s64-d32-float32-lse-exact"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "not green: no cell was judged: 1 not here: over the FLOP budget, 1 not claimed: lse" in result.outlines


def test_nothing_selected_is_not_green(pytester):
    result = pytester.runpytest("--pyargs", "pytest_attn.suite.test_smoke", "-k", "no_such_cell")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_test_that_stops_before_its_check_does_not_count_as_passed(pytester):
    pytester.makepyfile("def test_stops(attn):\n    raise RuntimeError('before the check')")
    result = pytester.runpytest("--attn-axis=s=1", "--attn-axis=dtype=float32")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "passed 1" not in result.stdout.str()


def test_the_tests_of_a_project_without_cells_do_not_hide_that_none_was_judged(judge, pytester):
    pytester.makepyfile("def test_of_the_project(): ...")
    result = judge(
        "--attn-budget=1e-9", "test_the_tests_of_a_project_without_cells_do_not_hide_that_none_was_judged.py"
    )
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_project_without_cells_sees_nothing_of_us_and_loads_no_torch(pytester):
    pytester.makepyfile(test_own="def test_own(): ...")
    script = "import sys, pytest; code = pytest.main(['test_own.py']); print('torch loaded:', 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=pytester.path, capture_output=True, text=True, check=True)
    assert "1 passed" in done.stdout
    assert "torch loaded: False" in done.stdout
    assert "attn kernel" not in done.stdout
    assert "attention kernels" not in done.stdout


def test_the_plugin_imports_no_torch():
    script = "import sys, pytest_attn.plugin.hooks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.mark.parametrize("name", ["kernel", "dtype", "block_shape", "frame_widths", "problem", "device", "attn"])
def test_a_project_may_parametrize_its_own_tests_with_our_names(pytester, name):
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("{name}", ["mine", "too"])
        def test_own({name}):
            assert {name} in ("mine", "too")
        """
    )
    pytester.runpytest().assert_outcomes(passed=2)


@pytest.mark.parametrize("name", ["kernel", "dtype", "block_shape", "frame_widths", "problem", "device", "attn"])
def test_a_project_may_have_its_own_fixture_of_our_name(pytester, name):
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.fixture(params=["mine", "too"])
        def {name}(request):
            return request.param

        def test_own({name}):
            assert {name} in ("mine", "too")
        """
    )
    pytester.runpytest().assert_outcomes(passed=2)


CLAIMING = """
import pytest_attn

@pytest_attn.kernel(
    head_dims=(40, 48), dtypes="float32", any_scale=False,
    refuses={"more queries than keys": lambda problem: problem.query_length > problem.key_length},
)
def narrow(query, key, value):
    weights = (query.double() @ key.double().mT / query.shape[3] ** 0.5).softmax(dim=3)
    return (weights @ value.double()).to(query.dtype)
"""


@pytest.fixture
def swept(pytester, monkeypatch):
    """Runs a sweep that is meant to try every claim, on a kernel of few."""
    pytester.makepyfile(claiming=CLAIMING)
    monkeypatch.setattr(coverage, "WHOLE", frozenset({"smoke"}))

    def run(*arguments):
        kernel = "--attn-kernel=claiming.py:narrow"
        return pytester.runpytest("--pyargs", "pytest_attn.suite.test_smoke", kernel, *arguments)

    return run


def test_it_says_what_was_not_claimed(pytester, judge):
    pytester.makepyfile(claiming=CLAIMING)
    case = "b1-h1-s{}-d40-float32-{}-exact"
    cases = [case.format("9x8", "out"), case.format("9x7", "out"), case.format("8", "both")]
    result = judge("--attn-kernel=claiming.py:narrow", *(f"--attn-case={each}" for each in cases[1:]), case=cases[0])
    assert "not claimed 3: 2 more queries than keys, 1 lse" in result.outlines


def test_a_claim_that_no_cell_of_a_whole_run_tried_is_red(swept, document):
    result = swept("--attn-output=out")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["passed"] > 0
    sentence = "claimed and never tried: head_dim 48 [claiming.py:narrow]"
    assert f"not green: {sentence}" in result.outlines
    result.stdout.fnmatch_lines(["cells by claim [[]claiming.py:narrow[]]: none for 1 of 4 claims (head_dim 48), *"])
    assert document().end.faults == (sentence,)


def test_it_is_not_where_the_user_left_cells_out(swept):
    result = swept("-k", "s130x259")
    assert result.ret == pytest.ExitCode.OK
    assert "cells by claim" not in result.stdout.str()


def test_a_document_says_once_what_each_kernel_claims(swept, document, two_workers):
    swept("--attn-output=out", "-k", "d40", *two_workers)
    [declared] = document().kernels
    assert (declared.kernel, declared.refuses) == ("claiming.py:narrow", ("more queries than keys",))
    assert declared.claims == ("dtype float32", "head_dim 40", "head_dim 48", "cross_attention")


def test_a_refusal_that_says_neither_yes_nor_no_fails_its_cell_in_one_sentence(judge, pytester):
    pytester.makepyfile(claiming=CLAIMING.replace("problem.query_length >", "problem.queries >"))
    case = "b1-h1-s8-d40-float32-out-exact"
    result = judge("--attn-kernel=claiming.py:narrow", case=case)
    result.assert_outcomes(errors=1)
    assert "Traceback" not in result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            f"{case} [[]claiming.py:narrow[]]: refuses[[]'more queries than keys'[]] raised AttributeError: 'Problem' "
            "object has no attribute 'queries'; allowed: True or False, of every problem"
        ]
    )
