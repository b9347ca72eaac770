"""A record: what became of one cell, as plain data. The source of every report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_attn.bench.kernel_source import KernelSource
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.plain import encoded, from_plain

MOST_FINDINGS = 2
"""Findings that a message has beside the cause; the record has all."""

Outcome = Literal["passed", "failed", "not here", "not claimed", "unsatisfiable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one case under one kernel."""

    case: str
    kernel: str
    """The kernel as the user named it."""

    outcome: Outcome
    why: str = ""
    """Why the cell did not run, or failed for another reason than what the judge found."""

    findings: tuple[Finding, ...] = ()
    """What the judge found wrong; none in a cell that passed."""

    diagnosis: Diagnosis | None = None
    """The bug that accounts for the failure; None where none does, or nobody asked."""

    unclaimed: str = ""
    """What the case needs that the kernel does not claim, where it was asked for nevertheless."""

    reproduce: str = ""
    """The command that runs this cell alone, from any directory."""

    smallest: str = ""
    """The smallest case found that fails in the same way; empty where none was looked for."""

    source: KernelSource | None = None
    """Where the kernel is defined; None for a cell that did not run."""

    sweep: str = ""
    """The sweep that the cell is of; empty for a case that was asked for by its id."""

    needs: tuple[str, ...] = ()
    """The capabilities that the case needs of a kernel, some with a value, such as `dtype float16`; none where the case
    cannot exist."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the case by name, as plain data."""

    figures: Mapping[str, float] = field(default_factory=dict)
    """Statistics of the verdict by name."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time spent on inputs, kernel, oracle and judge, on diagnosis, on shrinking the case and on its latency."""

    peak_bytes: int | None = None
    """Most memory that a run of the kernel held beside its inputs; None where it was not measured."""

    device: str = "cpu"
    oracle: str = ""
    tolerance: str = "derived"
    seed: int = 42
    flops: int = 0
    host: str = ""
    worker: str = ""
    """The xdist worker that ran it; empty without xdist."""

    attempt: int = 1
    """Which run of this cell it is; more than 1 where a plugin ran the test again."""

    @property
    def ran(self) -> bool:
        """Whether the kernel was run and judged."""
        return self.outcome in ("passed", "failed")

    @property
    def reason(self) -> str:
        """Why the cell did not run, or in one line what is wrong; empty where nothing is."""
        found = "; ".join(finding.phrase for finding in self.findings)
        if self.unclaimed and found:
            found = f"{self.unclaimed} is not claimed, and there are numbers: {found}"
        if self.diagnosis and self.diagnosis.phrase not in found:
            found += f"; looks like: {self.diagnosis.phrase}"
        return self.why or found

    @property
    def kind(self) -> str:
        """The kind of bug that accounts for the failure; empty where none does."""
        return self.diagnosis.kind if self.diagnosis else ""

    @property
    def cause(self) -> str:
        """Why the cell failed, in one phrase: the bug that accounts for it, else what was found first."""
        if self.diagnosis is not None:
            return self.diagnosis.phrase
        return self.why or (self.findings[0].phrase if self.findings else "")

    @property
    def message(self) -> str:
        """What a failing test says, in a few lines: the cause, the figures, and how to see it again."""
        lines = [self.short_message, *self._figures, f"reproduce: {self.reproduce}"]
        if self.smallest not in ("", self.case):
            lines.append(f"smallest failing case: {self.smallest}")
        return "\n".join(lines)

    @property
    def short_message(self) -> str:
        """`message` of a cell after others that failed alike: its id and the cause."""
        numbers = f"{self.unclaimed} is not claimed, and there are numbers: "
        unclaimed = numbers if self.unclaimed and not self.why else ""
        return f"{self.case} [{self.kernel}]: {unclaimed}{'looks like: ' * self._guessed}{self.cause}"

    @property
    def _guessed(self) -> bool:
        """Whether the cause says more than what was found."""
        return self.diagnosis is not None and not any(self.cause in finding.phrase for finding in self.findings)

    @property
    def _figures(self) -> tuple[str, ...]:
        """A line of the findings beside the cause, each once; of many the first stand for the rest. None where the
        cause is all."""
        phrases = dict.fromkeys(finding.phrase for finding in self.findings)
        beside = [phrase for phrase in phrases if self.cause not in phrase]
        more = len(beside) - MOST_FINDINGS
        said = "; ".join(beside[:MOST_FINDINGS]) + (f"; and {more} more" if more > 0 else "")
        return (said,) if said else ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON and for xdist."""
        plain: dict[str, Any] = encoded(self)
        return plain

    @staticmethod
    def of_dict(plain: Any) -> Record:
        """The record of `as_dict()`; fields of a newer schema are left out. Raises ValueError, one sentence, for what
        is none."""
        return from_plain(Record, plain)


def severity(record: Record) -> float:
    """By how much a failed cell fails: its largest statistic as a share of the limit.

    Infinity where a fact and no statistic failed it, as when the kernel raised or returned what is not finite.
    """
    largest = max((size for name, size in record.figures.items() if name.endswith("_share")), default=0.0)
    return largest if largest >= 1 else float("inf")
