"""`--attn-gate=report` tells what became of each benchmark, and fails nothing but kernels that are wrong."""

from __future__ import annotations

import pytest
from gated import KERNEL, SLOW

from pytest_attn.records.record import Record


def test_a_report_fails_nothing(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    result = gated.run("--attn-gate=report")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines([f"slower *{SLOW.case}*", "gate (report): slower 1 | same 8"])


def test_a_report_without_a_baseline_says_so_once(gated):
    result = gated.run("--attn-gate=report")
    result.assert_outcomes(passed=9)
    assert len([line for line in result.outlines if "baseline record" in line]) == 1


def test_a_kernel_that_fails_in_a_later_repetition_fails_its_test_under_report_too(gated):
    gated.record()
    gated.failed = (Record(case=SLOW.case, kernel=KERNEL, outcome="failed", why="repetition 3: the kernel raised"),)
    gated.run("--attn-gate=report").assert_outcomes(passed=8, failed=1)


def test_a_report_whose_process_was_lost_measures_here_and_fails_nothing(gated):
    gated.record()
    gated.lost = "killed"
    gated.run("--attn-gate=report").assert_outcomes(passed=9)


def test_a_report_on_a_damaged_baseline_says_so_and_fails_nothing(gated):
    gated.record()
    next(gated.store.folder.rglob("0003_*.json")).write_text("{")
    result = gated.run("--attn-gate=report")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["gate (report): nothing was compared: *0003_*: corrupt or truncated*"])


@pytest.mark.parametrize("seconds", [0.0, float("nan"), float("inf")])
def test_times_that_are_none_fail_nothing_under_report(gated, monkeypatch, seconds):
    gated.record()
    gated.give_times(SLOW, seconds, monkeypatch)
    result = gated.run("--attn-gate=report")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines([f"suspicious *{SLOW.case}*are no times*"])


def test_a_clock_that_says_nothing_of_the_work_fails_nothing_under_report(gated, monkeypatch):
    from pytest_attn.bench.clock_check import BlindClockError

    def blind(*_, **__):
        raise BlindClockError("cuda events: the device is busy")

    gated.record()
    gated.skipped = {SLOW}
    monkeypatch.setattr("pytest_attn.execution.cell.measure", blind)
    gated.run("--attn-gate=report").assert_outcomes(passed=9)


def test_under_report_nothing_is_counted_towards_a_failure(gated):
    gated.record()
    gated.changes = {"samples": gated.throttled()}
    for _ in range(3):
        gated.asked.clear()
        gated.run("--attn-gate=report").assert_outcomes(passed=9)
    gated.asked.clear()
    gated.run("--attn-gate=strict").assert_outcomes(passed=9)
