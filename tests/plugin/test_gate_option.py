"""`--attn-gate`: what was measured is compared with the baseline, and a slower kernel fails its own test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from gated import IDS, KERNEL, OWN, SLOW, WRONG
from synthetic import MACHINE

from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.record import Record


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


def test_a_run_that_fails_ends_with_what_to_do_next(gated):
    gated.record()
    gated.slow[SLOW] = 0.15
    lines = gated.run("--attn-gate=strict").outlines
    at = lines.index("gate (strict): slower 1 | same 8")
    assert lines[at + 1].startswith("next, slower: the command in its failure shows it again; where it was meant: ")


def test_a_run_that_passes_says_nothing_of_what_to_do_next(gated):
    gated.record()
    assert not any(line.startswith("next, ") for line in gated.run("--attn-gate=strict").outlines)


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
    assert gated.asked == [frozenset(IDS)]


def test_a_faster_kernel_asks_for_an_accept_and_passes(gated):
    gated.record()
    gated.slow[SLOW] = -0.15
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["faster *accept it*"])


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
    gated.give_times(SLOW, seconds, monkeypatch)
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=8, failed=1)
    assert any(line.startswith(f"{SLOW}: suspicious") and "are no times" in line for line in result.outlines)


def test_another_number_of_threads_is_foreign(gated):
    gated.record()
    gated.changes = {"threads": 8}
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(failed=9)
    result.stdout.fnmatch_lines(["*foreign*threads 1 there, threads 8 here*"])


def test_a_kernel_that_is_wrong_has_no_time_and_fails_as_ever(gated):
    gated.record()
    gated.pytester.makepyfile(wrong=WRONG)
    gated.failed = tuple(Record(case=id.case, kernel="wrong.py:wrong", outcome="failed", why="wrong") for id in IDS)
    result = gated.pytester.runpytest("test_own.py", "--attn-kernel=wrong.py:wrong", "--attn-gate=strict")
    assert result.parseoutcomes()["failed"] == 10
    result.stdout.fnmatch_lines(["nothing was timed, of 9 latency tests", "gate (strict): nothing was compared"])


def test_a_run_without_a_baseline_is_red_and_says_once_what_makes_one(gated):
    result = gated.run("--attn-gate=strict", "-rN")
    result.assert_outcomes(passed=9, failed=1)
    told = "no baseline of this machine; `python -m pytest_attn baseline record` makes one"
    assert [line for line in result.outlines if "baseline record" in line] == [told]


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
    assert "corrupt or truncated" in refusal("test_own.py", f"--attn-kernel={KERNEL}", "--attn-gate=strict")


def test_an_unknown_mode_is_refused_by_name(gated, refusal):
    told = refusal("test_own.py", "--attn-gate=hard")
    assert told == "--attn-gate: unknown mode 'hard'; allowed: off, report, strict"


@pytest.mark.parametrize("argument", ["-x", "--maxfail=1"])
def test_a_run_ends_at_the_first_slower_kernel_where_that_is_asked_for(gated, argument):
    gated.record()
    gated.slow[SLOW] = 0.15
    result = gated.run("--attn-gate=strict", argument)
    result.assert_outcomes(passed=IDS.index(SLOW), failed=1)
    result.stdout.fnmatch_lines(["slower *", "*stopping after 1 failures*"])


ENDING = """
import pytest

def pytest_runtest_setup(item):
    if {case!r} in item.name:
        pytest.exit("enough")
"""


def test_a_run_that_ends_early_loses_no_report_and_no_decision(gated, document):
    gated.record()
    gated.slow[SLOW] = 0.15
    gated.pytester.makeconftest(ENDING.format(case=IDS[5].case))
    result = gated.run("--attn-gate=strict", "--attn-output=out")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.parseoutcomes() == {"passed": 4, "failed": 1}
    found = document()
    assert len(found.records) == 5
    assert not found.complete
    assert [decision.word for decision in found.decisions].count("slower") == 1


def test_decisions_and_measurements_stand_in_the_document(gated, document):
    gated.record()
    gated.slow[SLOW] = 0.15
    gated.run("--attn-gate=strict", "--attn-output=out")
    found = document()
    assert (found.start.machine, found.end.gate, found.end.gate_faults) == (MACHINE, "strict", ())
    assert {decision.id: decision.word for decision in found.decisions} == dict.fromkeys(IDS, "same") | {SLOW: "slower"}
    assert [(each.case, each.kernel) for each in found.measurements] == IDS
    assert len(found.records) == 9


def test_a_failure_in_a_later_repetition_is_the_one_failure_of_its_own_test(gated, document):
    gated.record()
    why = "repetition 3: the kernel raised RuntimeError: enough"
    gated.failed = (Record(case=SLOW.case, kernel=KERNEL, outcome="failed", why=why),)
    result = gated.run("--attn-gate=strict", "--attn-output=out", "--junitxml=junit.xml")
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines([f"{SLOW}: {why}", "reproduce: *"])
    cases = [case for case in ElementTree.parse("junit.xml").iter("testcase") if SLOW.case in case.attrib["name"]]
    assert [why in case.find("failure").text for case in cases] == [True]
    assert len(document().records) == 9


def test_a_process_that_ends_before_it_measures_is_named_by_every_test(gated):
    gated.record()
    gated.lost = "pytest:main: the process ended with status 0 before it answered"
    result = gated.run("--attn-gate=strict")
    assert result.parseoutcomes()["failed"] == 10
    result.stdout.fnmatch_lines([f"*: not measured: the process that measures ended with 3: {gated.lost}"])


def test_a_benchmark_that_the_process_skipped_is_not_green(gated):
    gated.record()
    gated.skipped = {SLOW}
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines([f"{SLOW}: not measured: the process that measures has no times of it"])


def test_a_process_that_measures_is_given_the_whole_command_line(gated):
    gated.record()
    gated.run("--attn-gate=strict", "--attn-sweep=smoke", "-k", "float32")
    assert {"test_own.py", "--attn-sweep=smoke", "-k", "float32"} <= set(gated.arguments[0])


def test_a_test_of_the_project_without_a_sweep_of_its_own_is_confirmed(gated):
    gated.pytester.makepyfile(test_own="def test_own(attn_benchmark):\n    attn_benchmark(memory=False)")
    gated.record()
    gated.slow[SLOW] = 0.15
    result = gated.run("--attn-gate=strict", "--attn-sweep=smoke", "-k", "scale")
    assert len(gated.asked) > 1
    result.stdout.fnmatch_lines([f"slower *{SLOW.case}*confirmed*"])


def test_two_tests_of_one_benchmark_are_refused(gated, refusal):
    gated.record()
    gated.pytester.makepyfile(test_twice=OWN)
    told = refusal("test_own.py", "test_twice.py", f"--attn-kernel={KERNEL}", "--attn-gate=strict")
    assert "time the same benchmark; allowed: one test for each" in told


def test_another_unit_of_the_same_model_is_foreign(gated):
    gated.record(unit="GPU-a")
    gated.start = replace(gated.start, unit="GPU-b")
    result = gated.run("--attn-gate=strict")
    result.assert_outcomes(failed=9)
    result.stdout.fnmatch_lines(["*foreign*GPU-a*GPU-b*"])
