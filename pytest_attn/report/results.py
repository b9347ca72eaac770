"""What a run document comes to: how many cells passed, what failed, and what is wrong with the run as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pytest_attn.gate.gate import Gate, gate_of
from pytest_attn.records.decision import Decision
from pytest_attn.records.document import Document
from pytest_attn.records.record import Record, severity
from pytest_attn.report.summary import claim_line

NOT_ENDED = "the run did not come to its end; what it found until then is here"


@dataclass(frozen=True)
class Results:
    """One document, as reports read it."""

    document: Document

    @cached_property
    def gate(self) -> Gate | None:
        """What the gate said; None where speed was not compared."""
        return gate_of(self.document)

    @property
    def records(self) -> tuple[Record, ...]:
        """The cells, in the order in which they ran."""
        return self.document.records

    @property
    def source(self) -> str:
        """The folder or file of the document."""
        return self.document.source

    @property
    def claim(self) -> str:
        """How many cells passed and, where speed was compared, how many benchmarks became what."""
        parts = [claim_line(self.records)] if self.records or self.gate is None else []
        if self.gate is not None:
            machine = self.document.start.machine
            parts.append(f"gate ({self.gate.mode}){f' on {machine}' if machine else ''}: {self.gate.claim}")
        return "; ".join(parts)

    @property
    def failed(self) -> tuple[Record, ...]:
        """The cells that failed, in the order in which they ran."""
        return self.document.failed

    @property
    def failing(self) -> tuple[Decision, ...]:
        """The decisions that the gate fails on, worst first."""
        return self.gate.failing if self.gate else ()

    @property
    def run_failures(self) -> tuple[str, ...]:
        """What is wrong with the run as a whole, a sentence each."""
        end = self.document.end
        found: tuple[str, ...] = () if self.document.complete else (NOT_ENDED,)
        found += end.faults if end else ()
        return found + (self.gate.run_failures if self.gate and self.gate.mode == "strict" else ())


def worst_failed(results: Iterable[Results]) -> tuple[Record, ...]:
    """The failed cells of all runs by severity; the cheaper ones first where that is the same."""
    failed = [record for each in results for record in each.failed]
    return tuple(sorted(failed, key=lambda record: (-severity(record), record.flops, record.case, record.kernel)))
