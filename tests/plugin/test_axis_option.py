"""--attn-axis: which cells run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_attn.problem.sweep import find_sweep

DTYPES = 3


@pytest.fixture
def smoke_ids(collect):
    """The ids of the smoke sweep's cells that run, but for those of the output alone."""

    def ids(*arguments):
        tests = collect("--pyargs", "pytest_attn.suite.test_smoke", "-k", "not smoke_output", *arguments)
        return [test.partition("[")[2].removesuffix("]") for test in tests]

    return ids


@pytest.mark.parametrize("axis", ["s=[1]", "s=1", " s = [ 1 ] "])
def test_cells_with_other_values_are_left_out(smoke_ids, axis):
    assert smoke_ids("--attn-axis", axis) == [
        f"b1-h1-s1-d128-{dtype}-both-exact" for dtype in ("bfloat16", "float16", "float32")
    ]


def test_it_takes_several_values(smoke_ids):
    assert len(smoke_ids("--attn-axis", "s=[1,1x127]")) == 2 * DTYPES


def test_two_axes_must_both_hold(smoke_ids):
    assert smoke_ids("--attn-axis=s=[1,1x127]", "--attn-axis=dtype=float16") == [
        "b1-h1-s1-d128-float16-both-exact",
        "b1-h1-s1x127-d128-float16-both-exact",
    ]


@pytest.mark.parametrize(
    ("axis", "cells"),
    [
        ("scale=[0.01,1]", 2 * DTYPES),
        ("causal=top-left", 4 * DTYPES),
        ("kv=[2]", 24 + DTYPES + 24),
        ("block_shape=256x256", 2 * DTYPES),
        ("frame=1x1x3x1", DTYPES),
        ("sparsity=0.6", 4 * DTYPES),
        ("recipe=zeros", 4 * DTYPES),
    ],
)
def test_every_kind_of_value_is_written_as_in_the_table(smoke_ids, axis, cells):
    assert len(smoke_ids("--attn-axis", axis)) == cells


def test_what_is_left_out_counts_as_deselected(pytester):
    result = pytester.runpytest("--pyargs", "pytest_attn.suite.test_smoke", "--attn-axis", "s=[1]")
    result.assert_outcomes(passed=6, deselected=len(find_sweep("smoke")) - 6)


def test_the_ini_twin_takes_one_axis_per_line(smoke_ids, pytester):
    pytester.makeini("[pytest]\nattn_axis =\n    s=[1]\n    dtype=[float16]")
    assert smoke_ids() == ["b1-h1-s1-d128-float16-both-exact"]


@pytest.mark.parametrize("axis", ["h=8", "recipe=needle", "oracle=lastrow", "variants=win64x0", "layout=bsnd"])
def test_to_read_it_no_sweep_is_drawn(axis):
    drawn = "sys.exit('numpy' in sys.modules)"
    code = f"import sys; from pytest_attn.options.options import read_options; read_options({{'axis': ['{axis}']}})"
    assert subprocess.run([sys.executable, "-c", f"{code}; {drawn}"], check=False).returncode == 0


def test_a_value_that_only_drawn_cells_have_is_taken(pytester):
    result = pytester.runpytest("--attn-sweep=decode", "--attn-axis=s=16x1000")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("dtyp=float16", "unknown axis 'dtyp'; allowed: dtype, "),
        ("dtype=float61", "axis dtype has no value 'float61' in this sweep; allowed: float64, "),
        ("dtype", "'dtype' is no axis; allowed: name=[value,value], such as dtype=[bfloat16,float16]"),
        ("dtype=[float16", "'dtype=[float16' is no axis; allowed: "),
        ("dtype=[float16,]", "'dtype=[float16,]' has an empty value; allowed: "),
        ("dtype=", "'dtype=' is no axis; allowed: "),
        ("", "'' is no axis; allowed: "),
    ],
)
def test_a_bad_axis_is_refused_in_one_sentence(refusal, value, sentence):
    assert refusal(f"--attn-axis={value}").startswith(f"--attn-axis: {sentence}")


def test_values_that_never_occur_together_are_refused(refusal):
    said = refusal("--attn-sweep=smoke", "--attn-axis=s=1", "--attn-axis=recipe=zeros")
    assert said.startswith("--attn-axis: no cell has all of these values; allowed: ")


def test_a_value_of_another_sweep_is_refused(refusal):
    said = refusal("--attn-sweep=smoke", "--attn-axis=s=24000")
    assert said.startswith("--attn-axis: axis s has no value '24000' in this sweep; allowed: ")


def test_it_does_not_combine_with_a_case(refusal):
    said = refusal("--attn-axis=s=1", "--attn-case=b1-h1-s1-d128-float16-both-exact")
    assert said == "--attn-axis: does not combine with --attn-case; allowed: one of the two"
