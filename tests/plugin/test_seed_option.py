"""--attn-seed: which inputs are drawn."""

from __future__ import annotations

import pytest

CELL = ["--attn-axis=s=1", "--attn-axis=dtype=float32", "--attn-axis=ask=both"]


@pytest.fixture
def drawn(pytester):
    """The query that a run draws."""
    pytester.makepyfile(
        test_draw="""
        import pytest_attn

        def test_draw(attn):
            print(f"query: {attn.inputs.query.flatten()[:4].tolist()}")
        """
    )

    def query(*arguments):
        result = pytester.runpytest("test_draw.py", "-s", *CELL, *arguments)
        result.assert_outcomes(passed=1, deselected=result.parseoutcomes()["deselected"])
        return next(line for line in result.outlines if "query: " in line)

    return query


def test_another_seed_draws_other_inputs(drawn):
    assert drawn("--attn-seed=1") != drawn("--attn-seed=2")


def test_the_same_seed_draws_the_same_inputs(drawn):
    assert drawn("--attn-seed=1") == drawn("--attn-seed=1")


def test_without_it_the_seed_is_42(drawn):
    assert drawn() == drawn("--attn-seed=42")


def test_the_ini_twin_sets_it(drawn, pytester):
    of_the_flag = drawn("--attn-seed=-7")
    pytester.makeini("[pytest]\nattn_seed = -7")
    assert drawn() == of_the_flag


def test_header_and_records_name_it(judge, records):
    result = judge("--attn-seed=7", "--attn-output=out")
    result.stdout.fnmatch_lines(["attn *, seed: 7, *"])
    assert records()[0].seed == 7


@pytest.mark.parametrize("value", ["x", "1.5", "1e3", ""])
def test_what_is_no_whole_number_is_refused(refusal, value):
    assert refusal(f"--attn-seed={value}") == f"--attn-seed: '{value}' is no seed; allowed: a whole number"
