"""A stored run is read strictly: whatever is wrong with a file is one sentence, and wrong times are never times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import KERNEL, MACHINE, Host, content, document, named

from pytest_attn.gate.run_file import parse_run, read_run
from pytest_attn.records.benchmark_id import BenchmarkId


def run_document(cases: int = 1) -> dict[str, Any]:
    return document(Host().run(named(cases)))


def block(found: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = found["benchmarks"][0]["extra_info"]["attn"]
    return entry


def refused(found: object) -> str:
    with pytest.raises(ValueError, match=r"^run\.json: ") as caught:
        parse_run(found if isinstance(found, bytes) else json.dumps(found).encode(), "run.json")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_is_read_back_in_seconds_per_call() -> None:
    run = Host().run(named(2))
    found = parse_run(content(run), "run.json")
    assert found.machine == MACHINE
    assert found.benchmarks.keys() == run.benchmarks.keys()
    for id, timing in run.benchmarks.items():
        assert found.benchmarks[id].seconds == pytest.approx(timing.seconds)
        assert found.benchmarks[id].control == pytest.approx(timing.control)
        assert sum(found.benchmarks[id].again, ()) == pytest.approx(sum(timing.again, ()))


def test_an_empty_file_is_refused() -> None:
    assert "empty" in refused(b"")


def test_a_truncated_file_is_refused() -> None:
    whole = content(Host().run(named(1)))
    assert "truncated" in refused(whole[: len(whole) // 2])


def test_a_file_of_bytes_that_are_no_text_is_refused() -> None:
    assert "not JSON" in refused(b"\xff\xfe\x00\x01")


@pytest.mark.parametrize("other", [[], {"benchmarks": 3}, {"tests": []}])
def test_a_file_of_another_program_is_refused(other: object) -> None:
    assert "not a file of pytest-benchmark" in refused(other)


def test_a_file_without_a_benchmark_of_ours_is_refused() -> None:
    found = run_document()
    found["benchmarks"][0]["extra_info"] = {}
    assert "no benchmark of an attention kernel" in refused(found)


def test_benchmarks_of_other_suites_are_left_out() -> None:
    found = run_document(2)
    found["benchmarks"][0]["extra_info"] = {}
    assert len(parse_run(json.dumps(found).encode(), "run.json").benchmarks) == 1


@pytest.mark.parametrize(("schema", "advice"), [(2, "update pytest-attn"), (0, "record it again")])
def test_another_schema_is_refused_with_what_to_do(schema: int, advice: str) -> None:
    found = run_document()
    block(found)["schema"] = schema
    assert advice in refused(found)


def test_a_benchmark_that_is_there_twice_is_refused() -> None:
    found = run_document()
    found["benchmarks"] *= 2
    assert "twice" in refused(found)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("case", "", "no 'case'"),
        ("kernel", None, "no 'kernel'"),
        ("inner", 0, "inner is 0"),
        ("control", "fast", "not a list of seconds"),
        ("control", ["fast"], "no number"),
        ("control", [0.1], "20 times of the kernel, 1 of the control"),
        ("control_again", [[1.0]], "not a list of pairs"),
    ],
)
def test_a_wrong_field_is_refused_by_name(name: str, value: object, words: str) -> None:
    found = run_document()
    block(found)[name] = value
    assert words in refused(found)


@pytest.mark.parametrize("time", [0.0, -1e-3, float("nan"), float("inf"), None])
@pytest.mark.parametrize("arm", ["kernel", "control"])
def test_a_time_that_is_none_makes_the_timing_unusable(time: float | None, arm: str) -> None:
    found = run_document()
    times = found["benchmarks"][0]["stats"]["data"] if arm == "kernel" else block(found)["control"]
    times[3] = time
    (timing,) = parse_run(json.dumps(found).encode(), "run.json").benchmarks.values()
    assert timing.unusable.startswith(f"1 times of the {arm}")


def test_a_file_without_raw_data_keeps_its_median() -> None:
    found = run_document()
    stats = found["benchmarks"][0]["stats"]
    del stats["data"]
    timing = parse_run(json.dumps(found).encode(), "run.json").benchmarks[BenchmarkId("b1-h1-s1024", KERNEL)]
    assert not timing.raw
    assert timing.median == stats["median"] / 2


def test_a_run_that_says_nothing_of_itself_is_neither_green_nor_complete() -> None:
    found = run_document()
    del found["attn"]
    run = parse_run(json.dumps(found).encode(), "run.json")
    assert (run.failed, run.complete, run.machine) == (None, False, "")


def test_a_file_that_vanished_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the file is gone"):
        read_run(tmp_path / "0001_record.json")
