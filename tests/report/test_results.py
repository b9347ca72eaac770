"""What a run wrote is read back as it was, and what is no such file is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from results import decision, failed, folder, gate, passed, skipped

from pytest_attn.gate.gate import Gate
from pytest_attn.records.decision import Decision
from pytest_attn.records.record import Record
from pytest_attn.report.results import read_results, severity, worst_failed


def test_records_and_decisions_come_back_as_they_were(tmp_path: Path) -> None:
    records, decided = (failed(), passed(), skipped()), gate(decision(), decision("new", old=None, interval=None))
    found = read_results(folder(tmp_path, *records, gate=decided))
    assert (found.records, found.gate, found.machine) == (records, decided, "epyc-2-cores")


def test_the_claim_counts_cells_and_benchmarks(tmp_path: Path) -> None:
    found = read_results(folder(tmp_path, failed(), passed(), gate=gate(decision(), decision("same", "b"))))
    assert found.claim.startswith("claimed 2 of 2 | ran 2 | passed 1 | failed 1 | ")
    assert found.claim.endswith("; gate (strict) on epyc-2-cores: slower 1 | same 1")


def test_a_folder_may_lack_either_file(tmp_path: Path) -> None:
    assert read_results(folder(tmp_path / "a", passed())).gate is None
    assert read_results(folder(tmp_path / "b", gate=gate(decision()))).records == ()


def test_a_folder_without_both_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither records.jsonl nor decisions.json is there; allowed: a folder of "):
        read_results(tmp_path)


def test_a_statistic_that_was_not_finite_is_the_worst(tmp_path: Path) -> None:
    (found,) = read_results(folder(tmp_path, failed(share=float("nan")))).failed
    assert severity(found) == float("inf")


def test_the_worst_cells_stand_first(tmp_path: Path) -> None:
    raised = failed("raised", figures={}, flops=2)
    again = failed("again", share=0.4, flops=1)  # right by every statistic, so a fact is wrong
    found = read_results(folder(tmp_path, failed("a", 3.0), failed("b", 9.0), raised, again))
    assert [record.case for record in worst_failed([found])] == ["again", "raised", "b", "a"]


RECORD = passed().as_dict()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"case": "b1', "corrupt or truncated, not JSON (Unterminated string"),
        ("[]", "no record of a cell: '[]'"),
        ('{"case": "b1"}', "no record of a cell: "),
        (json.dumps(RECORD | {"outcome": "fine"}), "unknown outcome 'fine'; allowed: passed, failed, "),
        (json.dumps(RECORD | {"schema": 2}), "schema 2, this version reads 1"),
        (json.dumps(RECORD | {"figures": {"out": "1"}}), "figures is {'out': '1'}, not what a record holds there"),
        (json.dumps(RECORD | {"reason": None}), "reason is None, not what a record holds there"),
        (json.dumps(RECORD | {"flops": "9"}), "flops is '9', not what a record holds there"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_no_record_is_named(line: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(f"{passed().to_json()}\n{line}\n")
    with pytest.raises(ValueError, match=r"\w") as refused:
        read_results(tmp_path)
    assert str(refused.value).startswith(f"{path}:2: {sentence}")
    assert "\n" not in str(refused.value)


def test_a_record_of_a_newer_version_loses_only_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(json.dumps(RECORD | {"energy": 3.0}) + "\n")
    assert read_results(tmp_path).records == (Record.of_dict(RECORD),)


DECISION = decision().as_dict()
GATE = gate().as_dict()


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        ([], "decisions are list, expected an object"),
        (GATE | {"mode": "loud"}, "unknown mode 'loud'; allowed: report, strict"),
        (GATE | {"decisions": {}}, "'decisions' is dict, expected a list"),
        (GATE | {"run_failures": [1]}, "'run_failures' is no list of sentences"),
        (GATE | {"machine": 1}, "'machine' is 1, expected a text"),
        (GATE | {"decisions": ["slower"]}, "a decision is str, expected an object"),
        (GATE | {"decisions": [DECISION | {"case": None}]}, "a decision's 'case' is None, expected a text"),
        (GATE | {"decisions": [DECISION | {"word": "slow"}]}, "unknown word 'slow'; allowed: same, faster, "),
        (GATE | {"decisions": [DECISION | {"ratio": "1"}]}, "a figure of b1-h2-s1024 is no number"),
        (GATE | {"decisions": [DECISION | {"floor": None}]}, "the floor of b1-h2-s1024 is None, expected a fraction"),
        (GATE | {"decisions": [DECISION | {"interval": [1]}]}, "the interval of b1-h2-s1024 is [1], expected two num"),
    ],
)
def test_what_are_no_decisions_is_refused(plain: Any, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=r"\w") as refused:
        read_results(tmp_path)
    assert str(refused.value).startswith(f"{path}: {sentence}")


def test_a_truncated_file_of_decisions_is_named_with_its_line(tmp_path: Path) -> None:
    path = folder(tmp_path, gate=gate(decision())) / "decisions.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ValueError, match=r"decisions.json: corrupt or truncated, not JSON at line \d+ \("):
        read_results(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"records.jsonl: cannot be read"):
        read_results(tmp_path)


def test_decisions_and_gate_survive_json() -> None:
    one, whole = decision(stage="confirmed", reason="why"), gate(decision(), baseline=False)
    assert Decision.of_dict(json.loads(json.dumps(one.as_dict()))) == one
    assert Gate.of_dict(json.loads(json.dumps(whole.as_dict()))) == whole
