"""Records, decisions and documents of them, as a run leaves them."""

from __future__ import annotations

from typing import Any

from pytest_attn.gate.gate import Gate, RunFacts
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision, Word
from pytest_attn.records.document import Document
from pytest_attn.records.record import Record
from pytest_attn.records.run import RunEnd, RunStart
from pytest_attn.report.results import Results

START = RunStart(id="4f2a", started="2026-11-27T02:17:00+00:00", machine="epyc-2-cores")


def failed(case: str = "b1-h1-s64", share: float = 2.0, **fields: Any) -> Record:
    """A cell whose largest statistic is `share` times its limit."""
    given = {"why": "out: off", "reproduce": f"python -m pytest {case}", "figures": {"out_rms_share": share}}
    return Record(case=case, kernel="k", outcome="failed", **given | fields)


def passed(case: str = "b1-h1-s32") -> Record:
    return Record(case=case, kernel="k", outcome="passed", figures={"out_rms_share": 0.5})


def skipped(why: str = "not claimed: causal") -> Record:
    return Record(case="b1-h1-s16", kernel="k", outcome="not claimed", why=why)


def decision(word: Word = "slower", case: str = "b1-h2-s1024", ratio: float = 1.125, **fields: Any) -> Decision:
    figures = {"old": 3.2e-3, "new": 3.6e-3, "interval": (1.09, 1.16), "floor": 0.05, "smallest_detectable": 0.061}
    return Decision(id=BenchmarkId(case, "k"), word=word, ratio=ratio, **figures | fields)


def gate(*decisions: Decision, mode: Any = "strict", baseline: bool = True) -> Gate:
    return Gate.of(mode, decisions, RunFacts(collected=2, measured=2, baseline=baseline))


def document(
    *records: Record, gate: Gate | None = None, source: str = "night", faults: tuple[str, ...] = (), ended: bool = True
) -> Document:
    """What a run found out; one that was killed where it has not `ended`."""
    end = RunEnd(
        ended="2026-11-27T02:31:00+00:00",
        complete=True,
        status=0,
        faults=faults,
        gate=gate.mode if gate else "",
        gate_faults=gate.run_failures if gate else (),
    )
    decisions = gate.decisions if gate else ()
    return Document(source=source, start=START, records=records, decisions=decisions, end=end if ended else None)


def results(*records: Record, **given: Any) -> Results:
    return Results(document(*records, **given))
