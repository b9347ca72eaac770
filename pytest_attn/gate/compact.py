"""The compact form of a run's file, in which a baseline is stored."""

from __future__ import annotations

import json
from typing import Any

from pytest_attn.gate.run_file import parse_run
from pytest_attn.gate.timing import CONDITIONS

DIGITS = 6
"""Significant digits of a stored figure: it is off by five millionths at most, where a change that matters is a
thousandth at least."""

BLOCK = (
    *("schema", "case", "kernel", "inner", *CONDITIONS, "source_hash", "versions", "discarded"),
    *("flops", "control_flops", "tflops", "control", "control_again"),
)
"""What a later run is compared by, of the block `attn` of a benchmark; the rest told who read the run itself."""

UNREAD = ("total", "iqr_outliers", "stddev_outliers")
"""Statistics that no table of pytest-benchmark shows."""


def compact_run(content: bytes, source: str, session: str = "") -> bytes:
    """The same run on one line of JSON that pytest-benchmark and `parse_run` read, figures to `DIGITS` digits.

    Benchmarks of other suites, and what is said of the machine, stay as they are; a `session` is noted. Raises
    ValueError as `parse_run` does.
    """
    parse_run(content, source)
    document = json.loads(content)
    if session:
        document["attn"]["session"] = session
    document["benchmarks"] = list(map(_compact, document["benchmarks"]))
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    if "attn" not in (entry.get("extra_info") or {}):
        return entry
    block = {name: value for name, value in entry["extra_info"]["attn"].items() if name in BLOCK}
    stats = {name: value for name, value in entry["stats"].items() if name not in UNREAD}
    rest = {name: value for name, value in entry.items() if name != "options"}
    return rest | {"extra_info": entry["extra_info"] | {"attn": _rounded(block)}, "stats": _rounded(stats)}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return value
