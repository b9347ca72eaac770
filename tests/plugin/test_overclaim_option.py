"""`--attn-overclaim`: problems that a kernel does not claim are given to it; it refuses them or is judged."""

from __future__ import annotations

import pytest

CAUSAL = "b1-h1-s64-d32-float32-causal-out-exact"

KERNELS = """
import torch
import pytest_attn

def sdpa(query, key, value, scale, causal):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale, is_causal=causal)

@pytest_attn.kernel()
def modest(query, key, value, *, scale):
    return sdpa(query, key, value, scale, False)

@pytest_attn.kernel()
def able(query, key, value, *, scale, causal=False):
    return sdpa(query, key, value, scale, causal)

@pytest_attn.kernel()
def deaf(query, key, value, *, scale, causal=False):
    return sdpa(query, key, value, scale, False)

@pytest_attn.kernel()
def refusing(query, key, value, *, scale, causal=False):
    if causal:
        raise NotImplementedError("causal comes later")
    return sdpa(query, key, value, scale, False)

@pytest_attn.kernel(causal=True)
def boasting(query, key, value, *, scale, causal=False):
    return refusing(query, key, value, scale=scale, causal=causal)

@pytest_attn.kernel()
def breaking(query, key, value, *, scale, causal=False):
    raise RuntimeError("no kernel image")
"""


@pytest.fixture
def given(pytester, judge):
    """The outcome of a causal case, by the name of a kernel that does not claim it."""
    pytester.makepyfile(claims=KERNELS)

    def run(kernel, *arguments):
        return judge(f"--attn-kernel=claims.py:{kernel}", *arguments, case=CAUSAL)

    return run


@pytest.mark.parametrize("kernel", ["modest", "refusing"])
def test_to_refuse_what_is_not_claimed_is_fine(given, kernel):
    result = given(kernel, "--attn-overclaim")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*not claimed: causal*"])


def test_right_numbers_for_what_is_not_claimed_pass(given):
    given("able", "--attn-overclaim").assert_outcomes(passed=1)


def test_wrong_numbers_for_what_is_not_claimed_fail(given):
    result = given("deaf", "--attn-overclaim")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*causal is not claimed, and there are numbers: *", "reproduce: *--attn-overclaim*"])


def test_to_break_is_no_refusal(given):
    result = given("breaking", "--attn-overclaim")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the kernel raised RuntimeError: no kernel image*"])


def test_without_the_option_nothing_unclaimed_runs(given):
    given("breaking").assert_outcomes(skipped=1)


def test_to_refuse_what_is_claimed_is_red(given):
    result = given("boasting")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the kernel refuses a problem that it claims: causal comes later*"])


def test_anything_but_yes_and_no_is_refused(refusal):
    assert refusal("--attn-overclaim=perhaps") == "--attn-overclaim: 'perhaps'; allowed: yes, no"
