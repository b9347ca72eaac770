"""What a strict gate cannot decide passes at first, is named in every summary, and fails where it stays so."""

from __future__ import annotations

import pytest
from gated import IDS, SLOW

from pytest_attn.gate.streaks import FILE

STRICT = "--attn-gate=strict"


@pytest.fixture
def unsteady(gated):
    """A project with a baseline, of which one kernel has times that spread too far since."""
    gated.record()
    gated.unsteady = {SLOW}
    return gated


def words_of(result):
    """What became of the benchmark, and how often."""
    (line,) = (line for line in result.outlines if line.startswith("inconclusive ") and SLOW.case in line)
    return line


def test_a_kernel_that_makes_itself_unsteady_is_red_in_its_third_run(unsteady):
    unsteady.slow[SLOW] = 0.5
    for number in (1, 2):
        result = unsteady.again(STRICT)
        result.assert_outcomes(passed=9)
        assert f"run {number} of 3 in a row" in words_of(result)
    result = unsteady.again(STRICT)
    result.assert_outcomes(passed=8, failed=1)
    assert any(line.startswith(f"{SLOW}: inconclusive") and "in 3 runs in a row" in line for line in result.outlines)


def test_it_stays_red_after_that(unsteady):
    for _ in range(3):
        unsteady.again(STRICT)
    unsteady.again(STRICT).assert_outcomes(passed=8, failed=1)


def test_a_run_that_decides_begins_anew(unsteady):
    unsteady.again(STRICT)
    unsteady.again(STRICT)
    unsteady.unsteady = set()
    unsteady.again(STRICT).assert_outcomes(passed=9)
    unsteady.unsteady = {SLOW}
    unsteady.again(STRICT).assert_outcomes(passed=9)


def test_a_run_without_the_benchmark_changes_nothing(unsteady):
    unsteady.again(STRICT)
    unsteady.again(STRICT)
    unsteady.again(STRICT, "-k", IDS[0].case)
    unsteady.again(STRICT).assert_outcomes(passed=8, failed=1)


def test_one_run_is_enough_where_that_is_asked_for(unsteady):
    unsteady.again(STRICT, "--attn-inconclusive=1").assert_outcomes(passed=8, failed=1)


def test_it_is_counted_in_the_summary(unsteady):
    unsteady.again(STRICT).stdout.fnmatch_lines(["gate (strict): inconclusive 1 | same 8"])


def test_a_run_that_decided_nothing_says_so_in_its_first_line(unsteady):
    unsteady.unsteady = set(IDS)
    result = unsteady.again(STRICT)
    result.assert_outcomes(passed=9)
    section = next(at for at, line in enumerate(result.outlines) if " attention kernels " in line)
    assert result.outlines[section + 1] == "no speed was decided: all 9 benchmarks are inconclusive"


def test_where_earlier_runs_are_not_known_it_fails_at_once(unsteady):
    (unsteady.store.folder / FILE).unlink()
    result = unsteady.again(STRICT)
    result.assert_outcomes(passed=8, failed=1)
    assert "not tolerated: earlier runs are not known, as " in words_of(result)


def test_where_earlier_runs_cannot_be_read_it_fails_at_once(unsteady):
    (unsteady.store.folder / FILE).write_text('{"runs": "none"}')
    unsteady.again(STRICT).assert_outcomes(passed=8, failed=1)


def test_where_later_runs_would_not_know_of_it_it_fails_at_once(unsteady):
    path = unsteady.store.folder / FILE
    path.unlink()
    path.mkdir()
    (path / "in the way").touch()
    result = unsteady.again(STRICT)
    result.assert_outcomes(passed=8, failed=1)
    assert "later runs would not know of this one" in words_of(result)


def test_a_device_that_was_throttled_passes_at_first(unsteady):
    unsteady.unsteady = set()
    unsteady.changes = {"samples": unsteady.throttled()}
    unsteady.again(STRICT).assert_outcomes(passed=9)


def test_a_new_baseline_begins_anew(unsteady):
    unsteady.again(STRICT)
    unsteady.again(STRICT)
    unsteady.accept()
    unsteady.again(STRICT).assert_outcomes(passed=9)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", ""])
def test_a_number_that_is_none_is_refused(gated, refusal, text):
    told = refusal("test_own.py", f"--attn-inconclusive={text}")
    assert told == f"--attn-inconclusive: {text!r} is no number of runs; allowed: a whole number from 1"


def test_git_ignores_what_is_known_of_earlier_runs(gated):
    gated.record()
    assert FILE in (gated.store.folder / ".gitignore").read_text().splitlines()
