"""--attn-sweep: which sweeps run."""

from __future__ import annotations

import pytest

SCALE_CELLS, DISABLED_CELLS = 9, 48


@pytest.fixture(autouse=True)
def tests(pytester):
    pytester.makepyfile(
        test_users_sweeps="""
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_scale")
        def test_scale(attn): ...

        @pytest_attn.parametrize(sweep="bsa-lse", group="lse_disabled_returns_empty")
        def test_disabled(attn): ...

        def test_of_the_project(): ...
        """
    )


@pytest.fixture
def collected(collect):
    """How many tests run of `test_scale`, of `test_disabled` and of the project's own."""

    def count(*arguments):
        tests = [name.split("[")[0] for name in collect("test_users_sweeps.py", *arguments)]
        return tests.count("test_scale"), tests.count("test_disabled"), tests.count("test_of_the_project")

    return count


def test_without_it_all_sweeps_run(collected):
    assert collected() == (SCALE_CELLS, DISABLED_CELLS, 1)


def test_the_cells_of_other_sweeps_are_left_out(collected):
    assert collected("--attn-sweep=smoke") == (SCALE_CELLS, 0, 1)


@pytest.mark.parametrize("arguments", [["--attn-sweep=smoke, bsa-lse"], ["--attn-sweep=smoke", "--attn-sweep=bsa-lse"]])
def test_several_are_given_with_commas_or_repeated(collected, arguments):
    assert collected(*arguments) == (SCALE_CELLS, DISABLED_CELLS, 1)


def test_the_ini_twin_chooses_too(collected, pytester):
    pytester.makeini("[pytest]\nattn_sweep = bsa-lse")
    assert collected() == (0, DISABLED_CELLS, 1)


def test_the_flag_wins_over_the_ini_twin(collected, pytester):
    pytester.makeini("[pytest]\nattn_sweep = bsa-lse")
    assert collected("--attn-sweep=smoke") == (SCALE_CELLS, 0, 1)


def test_of_what_is_left_out_no_test_is_made(pytester):
    pytester.runpytest("test_users_sweeps.py", "--attn-sweep=bsa-joint").assert_outcomes(passed=1)


def test_a_test_that_is_named_is_found_and_deselected(pytester):
    result = pytester.runpytest("test_users_sweeps.py::test_scale", "--attn-sweep=bsa-joint")
    result.assert_outcomes(deselected=1)


def test_a_test_that_names_no_sweep_gets_those_asked_for(pytester, collect):
    pytester.makepyfile(test_any="def test_any(attn): ...")
    assert len(collect("test_any.py", "--attn-sweep=bsa-joint")) == 320


@pytest.mark.parametrize(
    ("value", "closest"), [("smok", "smoke"), ("bsa-ls", "bsa-lse"), ("smoke,bsa-jont", "bsa-joint")]
)
def test_an_unknown_sweep_names_the_closest(refusal, value, closest):
    wrong = value.rpartition(",")[2]
    assert refusal(f"--attn-sweep={value}").startswith(f"--attn-sweep: unknown sweep '{wrong}'; allowed: {closest}, ")


def test_an_unknown_sweep_in_the_ini_file_is_refused_too(refusal, pytester):
    pytester.makeini("[pytest]\nattn_sweep = smok")
    assert "unknown sweep 'smok'" in refusal()


def test_an_empty_name_is_refused(refusal):
    assert refusal("--attn-sweep=").startswith("--attn-sweep: ")
