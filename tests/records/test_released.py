"""What version 0.1 wrote is still read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_attn.records.document import read_document

RECORD = {
    "case": "b1-h1-s64-d32-float32-out-exact",
    "device": "cpu",
    "diagnosis": "lost keys",
    "figures": {"out_rms_share": None},
    "flops": 524288,
    "kernel": "k.py:k",
    "oracle": "exact",
    "outcome": "failed",
    "reason": "out: off; looks like: key 3 is not attended to",
    "reproduce": "python -m pytest ...",
    "schema": 1,
    "seconds": {"kernel": 0.5},
    "seed": 42,
    "smallest": "",
    "tolerance": "derived",
    "worker": "",
}
DECISION = {
    "case": "b1-h2-s1024",
    "kernel": "k",
    "word": "slower",
    "stage": "confirmed",
    "old": 1e-3,
    "new": 1.2e-3,
    "ratio": 1.2,
    "interval": [1.1, 1.3],
    "floor": 0.05,
    "smallest_detectable": 0.06,
    "reason": "",
    "reproduce": "",
}
GATE = {"mode": "strict", "claim": "slower 1", "run_failures": ["why"], "decisions": [DECISION], "machine": "epyc"}


def folder(path: Path, records: Any = (RECORD,), gate: Any = None) -> Path:
    """A folder of version 0.1."""
    (path / "records.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    if gate:
        (path / "decisions.json").write_text(json.dumps(gate, indent=1))
    return path


def test_records_come_back_with_their_reason(tmp_path: Path) -> None:
    (record,) = read_document(folder(tmp_path)).records
    assert (record.outcome, record.reason) == ("failed", RECORD["reason"])
    assert record.figures == {"out_rms_share": float("inf")}


def test_decisions_come_back_with_the_gate(tmp_path: Path) -> None:
    found = read_document(folder(tmp_path, gate=GATE))
    assert [decision.word for decision in found.decisions] == ["slower"]
    assert found.end is not None
    assert (found.start.machine, found.end.gate, found.end.gate_faults) == ("epyc", "strict", ("why",))


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        ([], "records.jsonl:1: no object: '[]'"),
        ({"case": "b1"}, "records.jsonl:1: "),
        (RECORD | {"outcome": "fine"}, "records.jsonl:1: "),
        (RECORD | {"schema": 7}, "records.jsonl:1: schema 7, these files have 1"),
        (RECORD | {"flops": "9"}, "records.jsonl:1: "),
    ],
)
def test_a_line_that_is_no_record_is_named(plain: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        read_document(folder(tmp_path, records=[plain]))
    assert str(refused.value).startswith(f"{tmp_path}/{sentence}")


@pytest.mark.parametrize(
    "gate",
    [GATE | {"decisions": [3]}, {"mode": "strict", "decisions": []}, GATE | {"decisions": [DECISION | {"word": "x"}]}],
)
def test_what_are_no_decisions_is_refused(gate: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"decisions.json: "):
        read_document(folder(tmp_path, gate=gate))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "decisions.json").write_text("{")
    with pytest.raises(ValueError, match=r"decisions.json: corrupt or truncated, not JSON"):
        read_document(tmp_path)
