"""What a wrong kernel gets to hear, and that the other cases go on."""

from __future__ import annotations

import shlex

import pytest

OUT_CASE = "b1-h2-s64-d32-float32-out-exact"
BOTH_CASE = "b1-h2-s64-d32-float32-both-exact"
LONG_CASE = "b1-h2-s1024-d64-bfloat16-out-exact"

WRONG = """
import torch
import pytest_attn
from kernels import dense

def raises(query, key, value, scale):
    raise RuntimeError("no room\\nfor scores")

def wrong_shape(*given, scale):
    return dense(*given, scale)[:, :, 1:]

def wrong_dtype(*given, scale):
    return dense(*given, scale).double()

def none(*given, scale):
    return None

def string(*given, scale):
    return "out"

def three(*given, scale):
    return (dense(*given, scale),) * 3

def not_a_number(*given, scale):
    out = dense(*given, scale)
    out[0, 1, 5] = torch.nan
    return out

def writes(query, key, value, scale):
    out = dense(query, key, value, scale)
    key.zero_()
    return out

@pytest_attn.kernel(lse=True)
def only_out(*given, scale, return_lse):
    return dense(*given, scale)

@pytest_attn.kernel(lse=True)
def always_lse(query, key, value, *, scale, return_lse):
    return dense(query, key, value, scale), (query @ key.mT * scale).logsumexp(dim=3)

def last_block_dropped(query, key, value, scale):
    out = dense(query, key, value, scale)
    out[:, 1, 896:] = dense(query[:, 1:, 896:], key[:, 1:, :-128], value[:, 1:, :-128], scale)[:, 0]
    return out
"""


@pytest.fixture(autouse=True)
def wrong(project):
    project.makepyfile(wrong=WRONG)


@pytest.mark.parametrize(
    ("kernel", "case", "reason"),
    [
        ("raises", OUT_CASE, "the kernel raised RuntimeError: no room for scores (*wrong.py:*)"),
        ("wrong_shape", OUT_CASE, "out: shape [[]1, 2, 63, 32[]], expected [[]1, 2, 64, 32[]]"),
        ("wrong_dtype", OUT_CASE, "out: dtype torch.float64, expected torch.float32"),
        ("none", OUT_CASE, "out: the kernel returned None, expected a tensor or (out, lse)"),
        ("string", OUT_CASE, "out: the kernel returned a str, expected a tensor or (out, lse)"),
        ("three", OUT_CASE, "out: the kernel returned a tuple of 3, expected a tensor or (out, lse)"),
        ("writes", OUT_CASE, "the kernel wrote into its inputs: key, or memory beside it, changed"),
        (
            "only_out",
            BOTH_CASE,
            "lse: the kernel returned a torch.float32 tensor [[]1, 2, 64, 32[]], expected (out, lse)",
        ),
        (
            "always_lse",
            OUT_CASE,
            "lse: not asked for, but the kernel returned a torch.float32 tensor [[]1, 2, 64[]], "
            "expected None or an empty tensor",
        ),
    ],
)
def test_a_wrong_kernel_hears_why_in_one_line(judge, kernel, case, reason):
    result = judge(f"--attn-kernel=wrong.py:{kernel}", case=case)
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"{case} [[]wrong.py:{kernel}[]]: {reason}", "reproduce: *"], consecutive=True)


def test_a_diagnosis_stands_before_what_was_found(judge):
    result = judge("--attn-kernel=wrong.py:not_a_number", case=OUT_CASE)
    result.stdout.fnmatch_lines(
        [
            f"{OUT_CASE} [[]wrong.py:not_a_number[]]: looks like: not finite in 1 of 128 rows, whatever *",
            "out: not finite in 1 of 128 rows, first at batch 0, head 1, row 5*",
            "reproduce: *",
        ],
        consecutive=True,
    )


def test_a_wrong_kernel_shows_no_frames_of_ours(judge):
    result = judge("--attn-kernel=wrong.py:raises")
    assert "pytest_attn/" not in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_the_other_cases_go_on(judge):
    result = judge("--attn-kernel=wrong.py:raises", "--attn-kernel=eager", f"--attn-case={OUT_CASE}")
    result.assert_outcomes(passed=2, failed=2)


def test_what_one_case_writes_into_its_inputs_does_not_reach_the_next(judge):
    judge("--attn-kernel=wrong.py:writes", "--attn-kernel=eager").assert_outcomes(passed=1, failed=1)


def test_a_dropped_key_block_is_red_with_head_and_rows(judge):
    result = judge("--attn-kernel=wrong.py:last_block_dropped", case=LONG_CASE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"{LONG_CASE} [[]wrong.py:last_block_dropped[]]: looks like: head 1: keys 896-1023 *",
            "out: *, head 1, rows 896-1023 (128 of 2048 rows over*",
        ]
    )


def test_the_kernel_without_that_bug_is_green(judge):
    judge("--attn-kernel=kernels.py:dense", case=LONG_CASE).assert_outcomes(passed=1)


@pytest.mark.parametrize("spec", ["wrong.py:not_a_number", "wrong:not_a_number"])
def test_the_printed_command_fails_in_the_same_way_from_another_directory(judge, run_reproduce_line, spec):
    done = run_reproduce_line(judge(f"--attn-kernel={spec}", "--attn-seed=7", case=OUT_CASE))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "out: not finite in 1 of 128 rows, first at batch 0, head 1, row 5" in done.stdout
    assert "1 failed" in done.stdout


def test_the_printed_command_keeps_what_the_verdict_depends_on(judge, reproduce_line):
    arguments = ["--attn-seed=7", "--attn-tolerance=bsa"]
    result = judge("--attn-kernel=wrong.py:none", *arguments, case=OUT_CASE)
    assert {*arguments, f"--attn-case={OUT_CASE}"} <= set(shlex.split(reproduce_line(result)))


def test_the_printed_command_keeps_a_lifted_budget(judge, reproduce_line):
    # 1 TFLOP, never computed: the kernel returns None.
    result = judge("--attn-kernel=wrong.py:none", "--attn-budget=none", case="b1-h8-s16384-d128-bfloat16-out-exact")
    assert "--attn-budget=none" in shlex.split(reproduce_line(result))


def test_the_printed_command_survives_a_directory_with_a_space(judge, pytester, reproduce_line):
    folder = pytester.mkdir("two words")
    (folder / "wrong.py").write_text("def none(*given, scale):\n    return None\n")
    words = shlex.split(reproduce_line(judge("--attn-kernel=two words/wrong.py:none")))
    assert f"--attn-kernel={folder / 'wrong.py'}:none" in words
