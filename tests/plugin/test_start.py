"""What a run of pytest loads of the plugin: as much as it has use for."""

from __future__ import annotations

import pytest

CONFTEST = """
import pathlib, sys

def pytest_unconfigure():
    pathlib.Path("modules").write_text(" ".join(sys.modules))
"""

PLAIN = """
import pytest

@pytest.fixture
def kernel():
    return 3

def test_of_the_project(kernel):
    assert kernel == 3
"""

OURS = """
import pytest_attn

@pytest_attn.parametrize(sweep="smoke", group="smoke_scale")
def test_scale(attn):
    attn.check()
"""

ALWAYS = {
    *("pytest_attn", "pytest_attn.options", "pytest_attn.options.defaults", "pytest_attn.options.flags"),
    *("pytest_attn.options.option", "pytest_attn.plugin", "pytest_attn.plugin.awaken", "pytest_attn.plugin.entry"),
    *("pytest_attn.plugin.fixtures", "pytest_attn.plugin.internals", "pytest_attn.plugin.marks"),
    "pytest_attn.plugin.reports",
}


@pytest.fixture
def modules_of(pytester, two_workers):
    """Runs pytest in a process of its own; what that imported."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_others=PLAIN, test_ours=OURS)

    def run(*arguments, passed=1, **outcomes):
        result = pytester.runpytest_subprocess(*two_workers[1:], *arguments)
        result.assert_outcomes(passed=passed, **outcomes)
        return set((pytester.path / "modules").read_text().split())

    return run


def test_without_attention_tests_it_loads_options_and_hooks_alone(modules_of):
    modules = modules_of("test_others.py")
    assert {name for name in modules if name.startswith("pytest_attn")} == ALWAYS
    assert not {"torch", "numpy", "scipy"} & modules


@pytest.mark.parametrize("arguments", [["test_others.py"], ["-k", "of_the_project"]])
def test_without_an_attention_test_the_kernel_of_the_ini_file_is_not_imported(modules_of, pytester, arguments):
    pytester.makeini("[pytest]\nattn_kernel = gone.py:kernel")
    modules = modules_of(*arguments, deselected=9 * ("-k" in arguments))
    assert "torch" not in modules


def test_an_attention_test_that_is_selected_wants_the_kernel_of_the_ini_file(pytester, modules_of):
    pytester.makeini("[pytest]\nattn_kernel = gone.py:kernel")
    result = pytester.runpytest("test_ours.py")
    assert "attn_kernel: kernel 'gone.py:kernel': no file" in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("workers", [0, 2])
def test_tests_of_ones_own_have_a_claim_line_without_any_option(pytester, modules_of, two_workers, workers):
    result = pytester.runpytest(*two_workers[1:], f"-n{workers}", "test_ours.py", "test_others.py")
    result.assert_outcomes(passed=10)
    assert (
        "claimed 9 of 9 | ran 9 | passed 9 | failed 0 | not here 0 | not claimed 0 | unsatisfiable 0" in result.outlines
    )


def test_where_nothing_of_ours_is_met_nothing_is_said(pytester, modules_of):
    assert "attn" not in pytester.runpytest("test_others.py").stdout.str().replace("plugins: attn-", "")


def test_a_run_warns_of_nothing(pytester, modules_of):
    result = pytester.runpytest_subprocess("test_ours.py")
    assert "warning" not in result.stdout.str()
