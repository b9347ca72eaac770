"""A record: what became of one cell, as plain data. The source of every report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

SCHEMA_VERSION = 1
"""Raised when a field of a record changes its meaning or goes away."""

Outcome = Literal["passed", "failed", "not here", "not claimed", "unsatisfiable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one case under one kernel."""

    case: str
    kernel: str
    outcome: Outcome
    reason: str = ""
    """Why the cell did not run, or in one line what is wrong."""

    diagnosis: str = ""
    """The kind of bug that accounts for the failure; empty where none does."""

    reproduce: str = ""
    """The command that runs this cell alone, from any directory."""

    smallest: str = ""
    """The smallest case found that fails in the same way; empty where none was looked for."""

    figures: dict[str, float] = field(default_factory=dict)
    """Statistics of the verdict by name."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent on inputs, kernel, oracle and judge, on shrinking the case and on measuring its latency."""

    device: str = "cpu"
    oracle: str = ""
    tolerance: str = "derived"
    seed: int = 42
    flops: int = 0
    worker: str = ""
    """The xdist worker that ran it; empty without xdist."""

    schema: int = SCHEMA_VERSION

    @property
    def ran(self) -> bool:
        """Whether the kernel was run and judged."""
        return self.outcome in ("passed", "failed")

    @property
    def message(self) -> str:
        """What a failing test says."""
        lines = [f"{self.case} [{self.kernel}]: {self.reason}", f"reproduce: {self.reproduce}"]
        if self.smallest not in ("", self.case):
            lines.append(f"smallest failing case: {self.smallest}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON and for xdist."""
        return asdict(self)

    @staticmethod
    def of_dict(plain: dict[str, Any]) -> Record:
        """The record of `as_dict()`; fields of a newer schema are left out."""
        names = {item.name for item in fields(Record)}
        return Record(**{name: value for name, value in plain.items() if name in names})

    def to_json(self) -> str:
        """One line of `records.jsonl`; a statistic that is not finite is null."""
        plain = self.as_dict()
        plain["figures"] = {name: value if abs(value) < float("inf") else None for name, value in self.figures.items()}
        return json.dumps(plain, allow_nan=False, sort_keys=True)
