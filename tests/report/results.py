"""Records, decisions and folders of them, as a run leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_attn.gate.gate import Gate, RunFacts
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision, Word
from pytest_attn.records.record import Record


def failed(case: str = "b1-h1-s64", share: float = 2.0, **fields: Any) -> Record:
    """A cell whose largest statistic is `share` times its limit."""
    given = {"reason": "out: off", "reproduce": f"python -m pytest {case}", "figures": {"out_rms_share": share}}
    return Record(case=case, kernel="k", outcome="failed", **given | fields)


def passed(case: str = "b1-h1-s32") -> Record:
    return Record(case=case, kernel="k", outcome="passed", figures={"out_rms_share": 0.5})


def skipped(reason: str = "not claimed: causal") -> Record:
    return Record(case="b1-h1-s16", kernel="k", outcome="not claimed", reason=reason)


def decision(word: Word = "slower", case: str = "b1-h2-s1024", ratio: float = 1.125, **fields: Any) -> Decision:
    figures = {"old": 3.2e-3, "new": 3.6e-3, "interval": (1.09, 1.16), "floor": 0.05, "smallest_detectable": 0.061}
    return Decision(id=BenchmarkId(case, "k"), word=word, ratio=ratio, **figures | fields)


def gate(*decisions: Decision, mode: Any = "strict", baseline: bool = True) -> Gate:
    return Gate.of(mode, decisions, RunFacts(collected=2, measured=2, baseline=baseline))


def folder(path: Path, *records: Record, gate: Gate | None = None) -> Path:
    """A folder of `--attn-output`; each file is there where it has something to say."""
    path.mkdir(exist_ok=True)
    if records:
        (path / "records.jsonl").write_text("".join(record.to_json() + "\n" for record in records), encoding="utf-8")
    if gate:
        (path / "decisions.json").write_text(json.dumps({"machine": "epyc-2-cores", **gate.as_dict()}, indent=1))
    return path
