"""Tests that time a cell: which run, what they record, and when they refuse."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

import pytest_attn.suite
from pytest_attn.bench.clock_check import BlindClockError
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.sweep import find_sweep

CASE = "b1-h1-s64-d32-float32-out-exact"
SUITE = "pytest_attn.suite.test_latency"

TIRED = """
def tired(query, key, value, scale):
    global number
    number += 1
    if number > 12:
        raise RuntimeError("enough")
    return dense(query, key, value, scale)

def lazy(query, key, value, scale):
    global number
    number += 1
    return dense(query, key, value, scale) if number < 7 else query.new_zeros(query.shape)
"""

OWN = """
import pytest
import pytest_attn

@pytest_attn.parametrize(sweep="smoke", group="smoke_output")
def test_own(attn_benchmark):
    measurement = attn_benchmark(rounds=20, memory=False)
"""


@pytest.fixture
def time_case(pytester):
    """Times one tiny case, with further arguments."""

    def run(*arguments):
        return pytester.runpytest(
            "--pyargs", SUITE, f"--attn-case={CASE}", "--attn-kernel=kernels.py:dense", *arguments
        )

    return run


@pytest.fixture
def own(pytester):
    """Times a cell in a test of the project, with lines added to it and further arguments."""

    def run(*arguments, lines="", kernel="dense", decorator=""):
        test = OWN.replace("@pytest_attn", f"{decorator}\n@pytest_attn", 1) + lines
        pytester.makepyfile(test_own=test)
        with (pytester.path / "kernels.py").open("a") as kernels:
            kernels.write(TIRED)
        return pytester.runpytest(
            "test_own.py", f"--attn-kernel=kernels.py:{kernel}", "--benchmark-json=out.json", *arguments
        )

    return run


@pytest.fixture
def stored(pytester):
    """The benchmarks of a file that pytest-benchmark wrote."""

    def read(path="out.json"):
        return json.loads((pytester.path / path).read_text())["benchmarks"]

    return read


def smallest(pytester):
    """Arguments that leave one cell of the smoke sweep."""
    cases = [case for case in find_sweep("smoke").groups["smoke_output"] if case.dtype == "float32"]
    return min(cases, key=flops)


def test_a_right_case_is_recorded_with_its_measurement(time_case, stored):
    result = time_case("--benchmark-json=out.json")
    result.assert_outcomes(passed=1)
    (entry,) = stored()
    measured, times = entry["extra_info"]["attn"], entry["stats"]["data"]
    assert (measured["case"], measured["kernel"]) == (CASE, "kernels.py:dense")
    assert len(times) == len(measured["control"]) == len(measured["control_again"]) == 32
    assert min(times) > 0
    assert statistics.median(times) == pytest.approx(entry["stats"]["median"])
    assert measured["peak_bytes"] is not None


def test_what_is_stored_names_no_folder_and_no_object(time_case, stored):
    time_case("--benchmark-json=out.json")
    (entry,) = stored()
    assert entry["fullname"] == f"{SUITE}::test_latency_case[{CASE}]"
    assert entry["params"] == {"kernel": "kernels.py:dense", "case": CASE}
    assert "UNSERIALIZABLE" not in json.dumps(entry)


def test_a_saved_run_keeps_its_raw_times_without_being_asked(time_case, pytester):
    time_case("--benchmark-save=night", "--benchmark-storage=file://stored")
    (file,) = (pytester.path / "stored").rglob("0001_night.json")
    assert len(json.loads(file.read_text())["benchmarks"][0]["stats"]["data"]) == 32


def test_a_saved_run_is_compared_from_another_folder(time_case, pytester, monkeypatch):
    storage = f"--benchmark-storage=file://{pytester.path / 'stored'}"
    time_case("--benchmark-save=night", storage)
    elsewhere = pytester.mkdir("elsewhere")
    (elsewhere / "kernels.py").write_text((pytester.path / "kernels.py").read_text())
    monkeypatch.chdir(elsewhere)
    table = time_case("--benchmark-compare", storage).stdout.str()
    assert f"[{CASE}] (NOW)" in table
    assert f"[{CASE}] (0001_night)" in table


def test_a_wrong_kernel_fails_and_is_not_timed(own, pytester, stored):
    result = own("-k", smallest(pytester).id, kernel="shifted")
    result.stdout.fnmatch_lines([f"{smallest(pytester).id} [[]kernels.py:shifted[]]: *", "reproduce: *"])
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1
    assert "errors" not in outcomes
    assert "warnings" not in outcomes
    assert stored() == []


def test_an_error_while_timing_is_shown_as_it_is(own, pytester, stored):
    result = own("-k", smallest(pytester).id, lines="", kernel="tired")
    result.stdout.fnmatch_lines(["E*RuntimeError: enough"])
    assert stored() == []


def test_a_kernel_that_is_wrong_only_where_it_is_timed_fails_its_cell(own, pytester, stored, records):
    case = smallest(pytester).id
    result = own("-k", case, "--attn-output=out", kernel="lazy")
    result.stdout.fnmatch_lines([f"{case} [[]kernels.py:lazy[]]: timed: out: *", "reproduce: *"])
    (record,) = records()
    assert record.outcome == "failed"
    assert record.findings[0].part == "timed"
    assert stored() == []


def test_a_clock_that_times_launches_fails_the_test_in_one_sentence(own, pytester, stored, monkeypatch):
    def blind(device):
        raise BlindClockError("npu events: 8 times the work took 1 times as long; it times launches, not the work")

    monkeypatch.setattr("pytest_attn.execution.session.checked_clock", blind)
    result = own("-k", smallest(pytester).id)
    result.assert_outcomes(failed=1, deselected=len(find_sweep("smoke").groups["smoke_output"]) - 1)
    result.stdout.fnmatch_lines(["npu events: 8 times the work took 1 times as long; it times launches, *"])
    assert stored() == []


def test_a_test_that_fails_after_timing_is_not_stored(own, pytester, stored):
    result = own("-k", smallest(pytester).id, lines="    assert measurement.tflops < 0\n")
    assert result.parseoutcomes()["failed"] == 1
    assert stored() == []


def test_a_test_of_the_project_is_given_the_measurement(own, pytester, stored):
    case = smallest(pytester)
    result = own("-k", case.id, lines=f"    assert measurement.case == '{case.id}'\n")
    assert result.parseoutcomes()["passed"] == 1
    assert len(stored()) == 1


def test_benchmark_disable_judges_without_timing(own, pytester):
    result = own("-k", smallest(pytester).id, "--benchmark-disable", lines="    assert measurement is None\n")
    assert result.parseoutcomes()["passed"] == 1


def test_benchmark_disable_still_fails_a_wrong_kernel(own, pytester):
    assert own("-k", smallest(pytester).id, "--benchmark-disable", kernel="shifted").parseoutcomes()["failed"] == 1


def test_one_kernel_is_grouped_by_test_and_several_by_case(own, pytester, stored):
    case = smallest(pytester)
    own("-k", case.id)
    assert [entry["group"] for entry in stored()] == ["test_own"]
    own("-k", case.id, "--attn-kernel=eager")
    assert [entry["group"] for entry in stored()] == [case.id, case.id]


def test_a_marker_of_the_project_keeps_its_group(own, pytester, stored):
    own("-k", smallest(pytester).id, decorator='@pytest.mark.benchmark(group="mine")')
    (entry,) = stored()
    assert entry["group"] == "mine"
    assert entry["extra_info"]["attn"]["case"] == smallest(pytester).id


def test_the_records_say_how_long_it_took(own, pytester, records):
    own("-k", smallest(pytester).id, "--attn-output=out")
    (record,) = records()
    assert record.outcome == "passed"
    assert record.seconds["latency"] > 0


def test_the_plain_suite_runs_no_test_of_latency(collect):
    assert not [name for name in collect("--pyargs", "pytest_attn.suite") if "latency" in name]


@pytest.mark.parametrize(
    "arguments", [["--attn-sweep=latency"], ["-k", "test_latency"], ["--benchmark-only", "-k", "not test_case"]]
)
def test_the_suite_runs_them_where_they_are_asked_for(collect, arguments):
    names = collect("--pyargs", "pytest_attn.suite", *arguments)
    assert sum("latency" in name for name in names) == len(find_sweep("latency"))


def test_naming_the_module_asks_for_them(collect):
    assert len(collect("--pyargs", SUITE)) == len(find_sweep("latency"))


def test_naming_its_file_asks_for_them_from_any_folder(collect, monkeypatch):
    monkeypatch.chdir(Path(pytest_attn.suite.__file__).parent)
    assert len(collect("test_latency.py", "-c", "/dev/null")) == len(find_sweep("latency"))


def test_a_file_of_the_same_name_in_a_project_may_run_on_workers(pytester, two_workers):
    pytester.makepyfile(test_latency="def test_other(): ...")
    pytester.runpytest("test_latency.py", *two_workers).assert_outcomes(passed=1)


def test_a_test_of_the_project_on_the_latency_sweep_runs_as_any_other(pytester, collect):
    pytester.makepyfile("def test_own(attn_benchmark): ...")
    assert len(collect()) == len(find_sweep("latency"))


@pytest.mark.parametrize("arguments", [["--attn-sweep=latency", "pytest_attn.suite"], [SUITE]])
def test_workers_are_refused_in_one_sentence(refusal, arguments):
    assert refusal("--pyargs", *arguments, "-n2") == (
        "latency is measured by one process alone, not by xdist workers; allowed: the same command without -n (or -n0)"
    )


def test_a_test_of_the_project_fails_in_a_worker_with_the_sentence(own, pytester, two_workers):
    result = own("-k", smallest(pytester).id, *two_workers)
    assert result.parseoutcomes()["errors"] == 1
    result.stdout.fnmatch_lines(["*latency is measured by one process alone, not by xdist workers; allowed: *"])


def test_without_pytest_benchmark_one_sentence_says_so(refusal):
    assert refusal("--pyargs", SUITE, "-p", "no:benchmark") == (
        "attn_benchmark records through pytest-benchmark, which is not loaded; allowed: pytest without -p no:benchmark"
    )


def test_without_pytest_benchmark_everything_else_runs(pytester):
    result = pytester.runpytest(
        "--pyargs", "pytest_attn.suite.test_case", f"--attn-case={CASE}", "--attn-kernel=sdpa", "-p", "no:benchmark"
    )
    result.assert_outcomes(passed=1)
