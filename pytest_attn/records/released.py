"""What version 0.1 left in a folder of `--attn-output`: records and decisions of schema 1, in two files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_attn.records.decision import Decision
from pytest_attn.records.record import Record
from pytest_attn.records.run import RunEnd, RunStart

RECORDS = "records.jsonl"
DECISIONS = "decisions.json"
RENAMED = {"reason": "why"}
"""Fields of a record that have another name now."""

Found = tuple[RunStart, tuple[Record, ...], tuple[Decision, ...], RunEnd | None]


def of_released(folder: Path) -> Found | None:
    """Start, records, decisions and end of the run; None where neither file is there. Raises ValueError, one sentence
    with the file and the line, where one cannot be read."""
    records, decisions = folder / RECORDS, folder / DECISIONS
    if not records.exists() and not decisions.exists():
        return None
    found = _records(records) if records.exists() else ()
    gate = _json(_text(decisions), str(decisions)) if decisions.exists() else {}
    start = RunStart(id=str(folder), started="", machine=str(gate.get("machine", "")))
    if not gate:
        return start, found, (), None
    try:
        decided = tuple(Decision.of_dict(each) for each in gate.get("decisions", ()))
        end = RunEnd(
            ended="", complete=True, status=0, gate=str(gate.get("mode", "")), gate_faults=tuple(gate["run_failures"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{decisions}: {error}") from None
    return start, found, decided, end


def _records(path: Path) -> tuple[Record, ...]:
    return tuple(
        _record(_json(line, f"{path}:{number}"), f"{path}:{number}")
        for number, line in enumerate(_text(path).split("\n"), 1)
        if line.strip()
    )


def _record(plain: Mapping[str, Any], where: str) -> Record:
    if plain.get("schema", 1) != 1:
        raise ValueError(f"{where}: schema {plain.get('schema')!r}, these files have 1")
    given = {RENAMED.get(name, name): value for name, value in plain.items() if name != "diagnosis"}
    # A statistic that was not finite was written as null.
    figures = plain.get("figures", {})
    if isinstance(figures, dict):
        given["figures"] = {name: "Infinity" if size is None else size for name, size in figures.items()}
    try:
        record = Record.of_dict(given)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return record


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: corrupt or truncated, not JSON ({error.msg})") from None
    if not isinstance(plain, dict):
        raise ValueError(f"{where}: no object: {text[:60]!r}")
    return plain


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
