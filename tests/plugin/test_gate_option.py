"""`--attn-gate`: what was measured is compared with the baseline, and a slower kernel fails its own test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from gated_project import IDS, KERNEL, SLOW, WRONG, GatedProject
from synthetic import MACHINE

from pytest_attn.records.benchmark_id import BenchmarkId


@pytest.fixture
def gated(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> GatedProject:
    """A project whose kernel takes 4 ms."""
    return GatedProject(pytester, monkeypatch)


def test_unchanged_code_is_green(gated):
    gated.record()
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["gate (strict): same 9"])


def test_a_slower_kernel_fails_its_own_test_with_one_line(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=8, failed=1)
    (line,) = (line for line in result.outlines if line.startswith(f"{SLOW}: slower"))
    for part in (
        " -> ",
        "x 1.1",
        "floor 5%",
        "smallest detectable",
        "confirmed",
        "by 6 fresh processes",
        "reproduce: ",
    ):
        assert part in line


def test_the_failure_stands_in_junit_once(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    gated.run("--attn-gate=strict", "--junitxml=junit.xml")
    cases = [*ElementTree.parse("junit.xml").iter("testcase")]
    assert len(cases) == 9
    (failed,) = (case for case in cases if case.find("failure") is not None)
    assert SLOW.case in failed.attrib["name"]
    assert "slower" in failed.find("failure").text


def test_a_second_run_is_red_again(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    arguments = ("--attn-gate=strict", "--benchmark-autosave", f"--benchmark-storage=file://{gated.store.folder}")
    gated.run(*arguments).assert_outcomes(passed=8, failed=1)
    gated.run(*arguments).assert_outcomes(passed=8, failed=1)


def test_a_red_run_cannot_become_the_baseline(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    gated.run("--attn-gate=strict", "--benchmark-json=red.json")
    red = [gated.pytester.path / f"red{number}.json" for number in range(5)]
    for number, path in enumerate(red):
        document = json.loads(Path("red.json").read_text())
        document["attn"]["process"] = str(number)
        path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="1 tests failed in it"):
        gated.store.accept(red, who="me", when="2026-11-26", why="no")


def test_a_slowdown_of_every_kernel_fails_every_test(gated):
    gated.record()
    gated.slow = dict.fromkeys(IDS, 0.15)
    gated.run("--attn-gate=strict").assert_outcomes(failed=9)


def test_what_fresh_processes_do_not_confirm_is_green(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    gated.slow_again = {}
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["same *not confirmed*"])


def test_only_suspects_are_measured_again(gated):
    gated.record()
    gated.run("--attn-gate=strict")
    assert gated.fresh == 0


def test_a_faster_kernel_asks_for_an_accept_and_passes(gated):
    gated.record()
    gated.slow[SLOW] = -0.15
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["faster *accept it*"])


def test_a_report_fails_nothing(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    result = gated.run("--attn-gate=report")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines([f"slower *{SLOW.case}*", "gate (report): slower 1 | same 8"])


@pytest.mark.filterwarnings("ignore::pytest_benchmark.logger.PytestBenchmarkWarning")
def test_benchmark_compare_alone_prints_the_decisions_beside_its_table(gated):
    gated.record()
    result = gated.run("--benchmark-compare")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["*(NOW)*", "*(0006_rec*"])
    result.stdout.fnmatch_lines(["Name (time in *", "gate (report): same 9"])


def test_without_a_gate_nothing_is_compared(gated):
    gated.record()
    assert "gate (" not in gated.run().stdout.str()


def test_a_benchmark_that_is_gone_is_a_failure_of_its_own(gated):
    gated.record([*IDS, BenchmarkId("b1-h1-s9-d16-float32-out-exact", KERNEL)])
    result = gated.run("--attn-gate=strict", "--junitxml=junit.xml")
    result.assert_outcomes(passed=9, failed=1)
    names = [case.attrib["name"] for case in ElementTree.parse("junit.xml").iter("testcase") if len(case)]
    assert names == [f"gone: b1-h1-s9-d16-float32-out-exact [{KERNEL}]"]


def test_a_benchmark_of_a_kernel_that_nobody_asked_for_is_not_gone(gated):
    gated.record([*IDS, BenchmarkId(IDS[0].case, "other")])
    gated.run("--attn-gate=strict").assert_outcomes(passed=9)


def test_a_part_of_the_tests_misses_nothing(gated):
    gated.record()
    gated.run("--attn-gate=strict", "-k", "float32").assert_outcomes(passed=3, deselected=6)


def test_a_new_benchmark_passes_and_is_named(gated):
    gated.record(IDS[1:])
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["new *"])


@pytest.mark.parametrize("seconds", [0.0, float("nan"), float("inf")])
def test_times_that_are_none_fail_their_test(gated, monkeypatch, seconds):
    gated.record()
    real = gated._samples

    def broken(case):
        found = real(case)
        return replace(found, kernel=(seconds,) * found.rounds) if case.id == SLOW.case else found

    monkeypatch.setattr(gated, "_samples", broken)
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=8, failed=1)
    assert any(line.startswith(f"{SLOW}: noisy") and "are no times" in line for line in result.outlines)


def test_another_number_of_threads_is_foreign(gated):
    gated.record()
    gated.changes = {"threads": 8}
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(failed=9)
    result.stdout.fnmatch_lines(["*foreign*threads 1 there, threads 8 here*"])


def test_a_kernel_that_is_wrong_has_no_time_and_fails_as_ever(gated):
    gated.record()
    gated.pytester.makepyfile(wrong=WRONG)
    result = gated.pytester.runpytest("test_own.py", "--attn-kernel=wrong.py:wrong", "--attn-gate=strict")
    assert result.parseoutcomes()["failed"] == 10
    result.stdout.fnmatch_lines(["*gate (strict): nothing was timed, of 9 latency tests*"])


def test_a_run_without_a_baseline_is_red_and_says_what_makes_one(gated):
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=9, failed=1)
    result.stdout.fnmatch_lines(["no baseline of this machine; `python -m pytest_attn baseline record` makes one"])


def test_benchmark_disable_is_red(gated):
    gated.record()
    result = gated.run("--attn-gate=strict", "--benchmark-disable")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["nothing was timed: --benchmark-disable or --benchmark-skip was given"])


def test_a_run_that_skipped_everything_is_red(gated):
    gated.record()
    result = gated.pytester.runpytest(
        "test_own.py", f"--attn-kernel={KERNEL}", "--attn-device=cuda", "--attn-gate=strict"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*all 9 latency tests were skipped*"])


def test_a_run_without_a_latency_test_is_red(gated):
    gated.record()
    gated.pytester.makepyfile(test_own="def test_other(): ...")
    result = gated.run("--attn-gate=strict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["nothing was timed: no latency test was collected"])


def test_workers_are_refused(gated, refusal):
    told = refusal("test_own.py", f"--attn-kernel={KERNEL}", "--attn-gate=strict", "-n2")
    assert told.startswith("--attn-gate: times are not compared under xdist; ")


def test_a_damaged_baseline_is_refused_before_anything_is_measured(gated, refusal):
    gated.record()
    next(gated.store.folder.rglob("0003_*.json")).write_text("{")
    assert "corrupt or truncated" in refusal("test_own.py", f"--attn-kernel={KERNEL}", "--attn-gate=report")


def test_an_unknown_mode_is_refused_by_name(gated, refusal):
    told = refusal("test_own.py", "--attn-gate=hard")
    assert told == "--attn-gate: unknown mode 'hard'; allowed: off, report, strict"


ENDING = """
import pytest

def pytest_runtest_setup(item):
    if {case!r} in item.name:
        pytest.exit("enough")
"""


def test_a_run_that_ends_early_loses_no_report_and_decides_nothing(gated):
    gated.record()
    gated.pytester.makeconftest(ENDING.format(case=IDS[5].case))
    result = gated.run("--attn-gate=strict")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.parseoutcomes()["passed"] == 5
    assert "gate (" not in result.stdout.str()


def test_the_decisions_are_written_beside_the_records(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    gated.run("--attn-gate=strict", "--attn-output=out")
    written = json.loads(Path("out/decisions.json").read_text())
    assert (written["mode"], written["machine"], written["run_failures"]) == ("strict", MACHINE, [])
    assert (written["decisions"][0]["word"], written["decisions"][0]["case"]) == ("slower", SLOW.case)
    assert len(written["decisions"]) == 9
