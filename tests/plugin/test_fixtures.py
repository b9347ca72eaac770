"""The fixtures and the decorator in a project's own tests."""

from __future__ import annotations

import re

import pytest

SMALLEST = ["--attn-axis=s=1", "--attn-axis=dtype=float32"]


def test_the_decorator_gives_one_test_per_cell_of_a_group(pytester, collect):
    pytester.makepyfile(
        """
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        def test_dense(attn): ...
        """
    )
    names = collect()
    assert len(names) == 24
    assert names[0] == "test_dense[b1-h1-s1-d128-bfloat16-both-exact]"


def test_without_a_group_it_gives_the_whole_sweep(pytester, collect):
    pytester.makepyfile(
        """
        import pytest_attn

        @pytest_attn.parametrize("smoke")
        def test_smoke(attn): ...
        """
    )
    assert len(collect()) == 177


@pytest.mark.parametrize("name", ["attn", "problem"])
def test_without_the_decorator_a_cell_fixture_gives_the_smoke_sweep(pytester, collect, name):
    pytester.makepyfile(f"def test_smoke({name}): ...")
    assert len(collect()) == 177


def test_a_cell_has_problem_kernel_device_dtype_block_shape_and_frame_widths(pytester):
    pytester.makepyfile(
        """
        import torch
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_block_sparse")
        def test_sparse(attn, problem, kernel, device, dtype, block_shape, frame_widths):
            assert problem.query_length == problem.key_length == 2048
            assert kernel.name == "block_sparse"
            assert device == torch.device("cpu")
            assert dtype == problem.dtype == torch.float32
            assert block_shape == (128, 256)
            assert frame_widths == pytest_attn.FrameWidths(1, 1, 3, 1)
            attn.check()
        """
    )
    result = pytester.runpytest("--attn-axis=frame=1x1x3x1", "--attn-axis=dtype=float32")
    assert result.parseoutcomes()["passed"] == 1
    assert result.ret == pytest.ExitCode.OK


def test_a_dense_cell_has_no_block_shape_and_no_frame(pytester):
    pytester.makepyfile(
        """
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        def test_dense(attn, block_shape, frame_widths):
            assert block_shape is None
            assert frame_widths == pytest_attn.FrameWidths()
        """
    )
    assert pytester.runpytest(*SMALLEST).parseoutcomes()["passed"] == 1


@pytest.mark.parametrize(
    "name", ["attn", "problem", "kernel", "device", "dtype", "block_shape", "frame_widths", "tmp_path"]
)
def test_a_decorated_test_may_take_any_of_the_fixtures_alone(pytester, name):
    pytester.makepyfile(
        f"""
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        def test_dense({name}): ...
        """
    )
    pytester.runpytest(*SMALLEST).assert_outcomes(passed=1, deselected=23)
    pytester.runpytest(*SMALLEST, "--attn-budget=1e-9").assert_outcomes(skipped=1, deselected=23)


def test_a_class_takes_the_decorator(pytester, collect):
    pytester.makepyfile(
        """
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        class TestDense:
            def test_one(self, attn): ...
            def test_two(self, problem): ...
        """
    )
    assert len(collect()) == 48


@pytest.mark.parametrize(
    ("fixtures", "tests"),
    [
        ("dtype", 3),
        ("block_shape", 16),
        ("frame_widths", 32),
        ("frame_widths, block_shape", 32),
        ("dtype, block_shape", 48),
        ("kernel", 1),
        ("device", 1),
    ],
)
def test_without_a_sweep_they_are_plain_axes(pytester, fixtures, tests):
    pytester.makepyfile(f"def test_axes({fixtures}): ...")
    pytester.runpytest().assert_outcomes(passed=tests)


def test_the_plain_dtypes_are_those_that_the_judge_has_a_budget_for(pytester):
    pytester.makepyfile(
        """
        import torch

        def test_dtype(dtype):
            assert dtype in (torch.bfloat16, torch.float16, torch.float32)
        """
    )
    pytester.runpytest().assert_outcomes(passed=3)


def test_the_plain_frames_are_none_and_the_published_one_of_the_block_shape(pytester):
    pytester.makepyfile(
        """
        from pytest_attn import FrameWidths

        def test_frame(frame_widths, block_shape):
            assert frame_widths in (FrameWidths(), FrameWidths.small(block_shape))
        """
    )
    pytester.runpytest().assert_outcomes(passed=32)


def test_a_plain_kernel_is_each_of_those_asked_for(pytester):
    pytester.makepyfile(
        """
        import torch

        def test_kernel(kernel):
            given = torch.ones(1, 1, 4, 8)
            assert kernel(given, given, given, scale=1.0).shape == given.shape
        """
    )
    result = pytester.runpytest("-v", "--attn-kernel=kernels.py:dense", "--attn-kernel=eager")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::test_kernel[[]dense[]] PASSED*", "*::test_kernel[[]eager[]] PASSED*"])


def test_a_test_may_compare_what_the_kernel_returns_itself(pytester):
    pytester.makepyfile(
        """
        import torch
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        def test_own_comparison(attn):
            output = attn.run()
            torch.testing.assert_close(output.out.double(), attn.reference.out)
            assert attn.judge().passed
        """
    )
    # In a process of its own: `assert_close` imports what cannot be imported twice.
    assert pytester.runpytest_subprocess(*SMALLEST, "-p", "no:hypothesispytest").parseoutcomes()["passed"] == 1


def test_a_run_of_such_tests_alone_is_green(pytester):
    pytester.makepyfile(
        """
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        def test_own_comparison(attn):
            assert attn.judge().passed
        """
    )
    assert pytester.runpytest(*SMALLEST).ret == pytest.ExitCode.OK


def test_a_cell_that_does_not_run_skips_a_test_of_the_project(pytester):
    pytester.makepyfile("def test_own(problem): ...")
    result = pytester.runpytest("-rs", "--attn-axis=recipe=zeros", "--attn-axis=dtype=float32", "--attn-budget=1e-9")
    assert result.parseoutcomes()["skipped"] == 4
    result.stdout.fnmatch_lines(["SKIPPED * not here: over the FLOP budget", "SKIPPED * not claimed: causal"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ('sweep="smok"', "unknown sweep 'smok'; allowed: smoke, "),
        ('sweep="smoke", group="smoke_dens"', "unknown group 'smoke_dens'; allowed: smoke_dense, "),
    ],
)
def test_a_decorator_that_names_nothing_is_refused_in_one_sentence(pytester, arguments, sentence):
    pytester.makepyfile(
        f"""
        import pytest_attn

        @pytest_attn.parametrize({arguments})
        def test_nothing(attn): ...
        """
    )
    result = pytester.runpytest()
    said = result.stdout.str() + result.stderr.str()
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    assert sentence in said
    assert "pluggy" not in said.partition("ERRORS")[2]


def test_the_marker_is_registered(pytester):
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.attn_cells(sweep, group):*"])


def test_help_shows_every_option(pytester):
    from pytest_attn.options.flags import OPTIONS

    shown = pytester.runpytest("--help").stdout
    for option in OPTIONS:
        assert re.search(rf"  {option.flag}=\[?{re.escape(option.metavar)}", shown.str())
