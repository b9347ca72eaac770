"""Sweeps whose cells are drawn for what a kernel claims, in pytest."""

from __future__ import annotations

import pytest

KERNELS = """
import pytest_attn

def dot(query, key, value, *, scale):
    return (query.double() @ key.double().mT * scale).softmax(dim=3).matmul(value.double()).to(query.dtype)

short = {"long": lambda problem: problem.key_length > 64}
narrow = pytest_attn.kernel(dtypes="float32", head_dims=48, refuses=short)(dot)
nothing = pytest_attn.kernel(refuses={"everything": lambda problem: True})(dot)
odd = pytest_attn.kernel(refuses={"odd ones": lambda problem: problem.query_length % 2})(dot)
"""


@pytest.fixture(autouse=True)
def kernels(pytester):
    pytester.makepyfile(kernels=KERNELS)


def run(pytester, kernel, *arguments):
    suite = "pytest_attn.suite.test_decode"
    return pytester.runpytest("--pyargs", suite, f"--attn-kernel=kernels.py:{kernel}", "-q", *arguments)


def test_all_cells_are_of_what_is_claimed(pytester, collect):
    names = collect("--pyargs", "pytest_attn.suite.test_decode", "--attn-kernel=kernels.py:narrow")
    assert names
    assert all("-d48-float32" in name for name in names)


def test_several_kernels_have_cells_of_their_own(pytester, collect):
    both = ("--attn-kernel=kernels.py:narrow", "--attn-kernel=eager", "-k", "d48")
    names = collect("--pyargs", "pytest_attn.suite.test_decode", *both)
    assert names
    assert all("[narrow-" in name for name in names)


def test_a_claim_without_any_cell_is_one_sentence_and_not_green(pytester):
    result = run(pytester, "nothing")
    result.stdout.fnmatch_lines(
        ["kernels.py:nothing claims no cell of decode; allowed: claims and refusals that some case meets"]
    )
    assert result.ret != pytest.ExitCode.OK


def test_a_refusal_that_says_neither_yes_nor_no_ends_the_collection_with_its_name(pytester):
    result = run(pytester, "odd")
    result.stdout.fnmatch_lines(
        ["*kernel kernels.py:odd: refuses*'odd ones'* is 1; allowed: True or False, of every problem"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.ret == pytest.ExitCode.INTERRUPTED
