"""The results of one run, as `--attn-output` leaves them in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pytest_attn.gate.gate import Gate
from pytest_attn.records.decision import Decision
from pytest_attn.records.record import SCHEMA_VERSION, Outcome, Record
from pytest_attn.report.summary import claim_line

RECORDS = "records.jsonl"
DECISIONS = "decisions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What one folder holds; `gate` is None where speed was not compared."""

    folder: str
    records: tuple[Record, ...] = ()
    gate: Gate | None = None
    machine: str = ""
    """The key of the machine that was timed."""

    @property
    def claim(self) -> str:
        """How many cells passed and, where speed was compared, how many benchmarks became what."""
        parts = [claim_line(self.records)] if self.records or self.gate is None else []
        if self.gate is not None:
            on = f" on {self.machine}" if self.machine else ""
            parts.append(f"gate ({self.gate.mode}){on}: {self.gate.claim}")
        return "; ".join(parts)

    @property
    def failed(self) -> tuple[Record, ...]:
        """The cells that failed, in the order in which they ran."""
        return tuple(record for record in self.records if record.outcome == "failed")

    @property
    def failing(self) -> tuple[Decision, ...]:
        """The decisions that the gate fails on, worst first."""
        return self.gate.failing if self.gate else ()

    @property
    def run_failures(self) -> tuple[str, ...]:
        """What is wrong with the run as a whole where the gate is strict."""
        return self.gate.run_failures if self.gate and self.gate.mode == "strict" else ()


def read_results(folder: Path) -> Results:
    """The results in a folder, which may lack one of its two files.

    Raises ValueError, one sentence with the file and the line, where both are missing or one cannot be read.
    """
    records, decisions = folder / RECORDS, folder / DECISIONS
    if not records.exists() and not decisions.exists():
        raise ValueError(f"{folder}: neither {RECORDS} nor {DECISIONS} is there; allowed: a folder of --attn-output")
    gate, machine = _gate(decisions) if decisions.exists() else (None, "")
    found = _records(records) if records.exists() else ()
    return Results(folder=str(folder), records=found, gate=gate, machine=machine)


def severity(record: Record) -> float:
    """By how much a failed cell fails: its largest statistic as a share of the limit.

    Infinity where a fact and no statistic failed it, as when the kernel raised or returned what is not finite.
    """
    largest = max((size for name, size in record.figures.items() if name.endswith("_share")), default=0.0)
    return largest if largest >= 1 else float("inf")


def worst_failed(results: Iterable[Results]) -> tuple[Record, ...]:
    """The failed cells of all runs by severity; the cheaper ones first where that is the same."""
    failed = [record for each in results for record in each.failed]
    return tuple(sorted(failed, key=lambda record: (-severity(record), record.flops, record.case, record.kernel)))


def _records(path: Path) -> tuple[Record, ...]:
    lines = _text(path).split("\n")
    return tuple(_record(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())


def _record(line: str, where: str) -> Record:
    plain = _plain(line, where)
    if not isinstance(plain, dict) or not all(isinstance(plain.get(name), str) for name in ("case", "kernel")):
        raise ValueError(f"{where}: no record of a cell: {line[:60]!r}")
    schema = plain.get("schema", SCHEMA_VERSION)
    if schema != SCHEMA_VERSION:
        raise ValueError(f"{where}: schema {schema!r}, this version reads {SCHEMA_VERSION}")
    if plain.get("outcome") not in get_args(Outcome):
        raise ValueError(f"{where}: unknown outcome {plain.get('outcome')!r}; allowed: {', '.join(get_args(Outcome))}")
    wrong = [name for name in ("reason", "reproduce", "smallest") if not isinstance(plain.get(name, ""), str)]
    wrong += [name for name in ("figures", "seconds") if not _numbers(plain.get(name, {}))]
    wrong += [name for name in ("flops",) if not isinstance(plain.get(name, 0), int)]
    if wrong:
        raise ValueError(f"{where}: {wrong[0]} is {plain[wrong[0]]!r:.60}, not what a record holds there")
    # A statistic that is not finite is written as null.
    figures = {name: float("inf") if size is None else size for name, size in plain.get("figures", {}).items()}
    return replace(Record.of_dict(plain), figures=figures)


def _gate(path: Path) -> tuple[Gate, str]:
    plain = _plain(_text(path), str(path))
    try:
        gate = Gate.of_dict(plain)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    machine = plain.get("machine", "")
    if not isinstance(machine, str):
        raise ValueError(f"{path}: 'machine' is {machine!r:.60}, expected a text")
    return gate, machine


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None


def _plain(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # The line of a record is named already; that of an error within a longer text is not.
        at = f" at line {error.lineno}" if "\n" in text else ""
        raise ValueError(f"{where}: corrupt or truncated, not JSON{at} ({error.msg})") from None
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply for a file of ours") from None


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        each is None or (isinstance(each, int | float) and not isinstance(each, bool)) for each in value.values()
    )
