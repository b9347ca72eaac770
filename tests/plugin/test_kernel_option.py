"""--attn-kernel: which kernel is judged."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

import pytest_attn.kernels.resolve

LSE_CASE = "b1-h1-s64-d32-float32-lse-exact"


@pytest.fixture
def installed(monkeypatch, pytester):
    """Installs entry points of `pytest_attn.kernels`, by name."""
    pytester.syspathinsert()

    def install(**targets):
        group = pytest_attn.kernels.resolve.ENTRY_POINT_GROUP
        found = [EntryPoint(name, target, group) for name, target in targets.items()]
        monkeypatch.setattr(pytest_attn.kernels.resolve, "entry_points", lambda group: found)

    return install


@pytest.mark.parametrize("spec", ["eager", "kernels:dense", "kernels.py:dense", "./kernels.py:dense"])
def test_a_kernel_is_a_built_in_or_an_attribute_of_a_module_or_of_a_file(judge, spec):
    result = judge(f"--attn-kernel={spec}")
    result.assert_outcomes(passed=1)
    assert f"attn kernel: {spec}" in result.outlines


def test_a_kernel_may_be_an_entry_point(judge, installed):
    installed(fast="kernels:dense")
    judge("--attn-kernel=fast").assert_outcomes(passed=1)


def test_repeated_it_judges_both_with_the_name_in_the_id(judge):
    result = judge("--attn-kernel=kernels.py:dense", "--attn-kernel=block_sparse", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_case[[]dense-b1-h1-*PASSED*", "*test_case[[]block-sparse-b1-h1-*PASSED*"])


def test_alone_its_name_stays_out_of_the_id(judge):
    judge("--attn-kernel=kernels.py:dense", "-v").stdout.fnmatch_lines(["*test_case[[]b1-h1-*PASSED*"])


def test_the_ini_twin_takes_one_kernel_per_line(judge, pytester):
    pytester.makeini("[pytest]\nattn_kernel =\n    kernels.py:dense\n    kernels.py:Prepared")
    judge().assert_outcomes(passed=2)


def test_the_flag_wins_over_the_ini_twin(judge, pytester):
    pytester.makeini("[pytest]\nattn_kernel = kernels.py:none")
    judge("--attn-kernel=kernels.py:dense").assert_outcomes(passed=1)


def test_an_undecorated_function_claims_no_lse(judge):
    result = judge("--attn-kernel=kernels.py:dense", case=LSE_CASE)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * not claimed: lse"])


def test_a_class_with_prepare_is_a_kernel(judge):
    judge("--attn-kernel=kernels.py:Prepared").assert_outcomes(passed=1)


def test_a_decorated_function_is_passed_what_it_claims(judge, pytester):
    pytester.makepyfile(
        claiming="""
        import pytest_attn
        from kernels import dense

        @pytest_attn.kernel(lse=True, any_scale=False)
        def claims(query, key, value, *, return_lse):
            scale = query.shape[3] ** -0.5
            out = dense(query, key, value, scale)
            return (out, (query @ key.mT * scale).logsumexp(dim=3)) if return_lse else out
        """
    )
    judge("--attn-kernel=claiming.py:claims", case=LSE_CASE).assert_outcomes(passed=1)


def test_an_unknown_kernel_names_the_closest(refusal):
    said = refusal("--attn-kernel=sdp")
    assert said.startswith("--attn-kernel: unknown kernel 'sdp'; allowed: ")
    assert "(sdpa, " in said


def test_an_unknown_kernel_names_installed_ones(refusal, installed):
    installed(fast="kernels:dense")
    assert "(fast, " in refusal("--attn-kernel=fats")


def test_an_entry_point_that_does_not_load_says_so(refusal, installed):
    installed(fast="kernels:dens")
    said = refusal("--attn-kernel=fast")
    assert said.startswith("--attn-kernel: kernel 'fast': its entry point does not load: ")


def test_a_missing_file_names_the_closest(refusal, pytester):
    said = refusal("--attn-kernel=kernel.py:dense")
    assert said.startswith("--attn-kernel: kernel 'kernel.py:dense': no file ")
    assert said.endswith(f"such as {pytester.path / 'kernels.py'}")


def test_a_file_alone_names_its_kernels(refusal):
    said = refusal("--attn-kernel=kernels.py")
    assert said.startswith("--attn-kernel: kernel 'kernels.py': names no kernel of the file; allowed: ")
    assert "kernels.py:dense" in said


def test_two_colons_are_one_too_many(refusal):
    assert refusal("--attn-kernel=kernels.py::dense").endswith("'kernels.py::dense': allowed: kernels.py:dense")


def test_a_missing_module_says_where_it_was_looked_for(refusal, pytester):
    said = refusal("--attn-kernel=missing_kernels:dense")
    assert said == f"--attn-kernel: kernel 'missing_kernels:dense': no module 'missing_kernels' from {pytester.path}"


@pytest.mark.parametrize("spec", ["kernels.py:dens", "kernels:dens"])
def test_a_missing_attribute_names_the_closest(refusal, spec):
    said = refusal(f"--attn-kernel={spec}")
    assert said.startswith(f"--attn-kernel: kernel '{spec}': no attribute 'dens' there; allowed: dense, ")


def test_an_attribute_that_is_no_kernel_says_what_is_one(refusal):
    said = refusal("--attn-kernel=kernels.py:number")
    assert said.startswith("--attn-kernel: kernel 'kernels.py:number'")
    assert "int; allowed: a function (query, key, value, ...)" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise RuntimeError('no device')", "RuntimeError: no device"),
        (r"raise RuntimeError('no\ndevice')", "RuntimeError: no device"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import missing_package", "No module named 'missing_package'"),
        ("def dense(:", "SyntaxError: invalid syntax"),
        ("import pytest_attn\npytest_attn.kernel(lsee=True)", "unknown capability 'lsee'; allowed: lse, "),
    ],
)
def test_a_file_that_raises_on_import_says_what_in_one_line(refusal, pytester, text, reason):
    pytester.makepyfile(broken=text)
    said = refusal("--attn-kernel=broken.py:dense")
    assert said.startswith("--attn-kernel: kernel 'broken.py:dense': loading ")
    assert reason in said


def test_a_class_that_cannot_be_made_says_why(refusal, pytester):
    pytester.makepyfile(
        classes="""
        class Sized:
            def __init__(self, size): ...
            def prepare(self, problem, inputs): ...
        """
    )
    said = refusal("--attn-kernel=classes.py:Sized")
    assert said.startswith("--attn-kernel: kernel 'classes.py:Sized'")
    assert "missing 1 required positional argument: 'size'" in said


@pytest.mark.parametrize("spec", ["", ":", "kernels.py:", ":dense"])
def test_half_a_name_says_what_a_whole_one_is(refusal, spec):
    said = refusal(f"--attn-kernel={spec}")
    assert f"kernel '{spec}'" in said
    assert "module:attribute or path/to/file.py:attribute" in said


def test_a_kernel_of_the_ini_file_is_of_no_concern_without_a_test_of_it(pytester):
    pytester.makeini("[pytest]\nattn_kernel = kernels.py:typo")
    pytester.makepyfile(test_alone="def test_alone(): ...")
    pytester.runpytest("test_alone.py").assert_outcomes(passed=1)


def test_an_unknown_kernel_of_the_ini_file_is_refused_by_its_key(pytester, refusal):
    pytester.makeini("[pytest]\nattn_kernel = kernels.py:typo")
    told = refusal("--pyargs", "pytest_attn.suite.test_case", f"--attn-case={LSE_CASE}")
    assert told.startswith("attn_kernel: ")


def test_a_session_without_an_attention_test_imports_neither_kernel_nor_torch(pytester):
    pytester.makeini("[pytest]\nattn_kernel = kernels.py:dense")
    pytester.makepyfile(test_alone="def test_alone(): ...")
    code = "import sys, pytest; pytest.main(['test_alone.py', '-p', 'no:hypothesispytest']);"
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'kernels')))"
    assert pytester.run(sys.executable, "-c", code).ret == 0
