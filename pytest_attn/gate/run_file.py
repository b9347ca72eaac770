"""The file of a stored run: pytest-benchmark's own JSON with our block in it, read strictly."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pytest_attn.gate.stored_run import StoredRun, by_id
from pytest_attn.gate.timing import CONDITIONS, Timing
from pytest_attn.records.benchmark_id import BenchmarkId

SCHEMA = 1
"""Of the block `attn`, of a run and of each benchmark; raised when a field changes its meaning or goes away."""


def run_block(*, machine: str, unit: str, process: str, failed: int, complete: bool) -> dict[str, Any]:
    """The block `attn` that a run writes beside its benchmarks, at the top of pytest-benchmark's JSON.

    `unit` is the very device among those of its model, empty for a CPU: see `StoredRun`.
    """
    return {
        "schema": SCHEMA,
        "machine": machine,
        "unit": unit,
        "process": process,
        "failed": failed,
        "complete": complete,
    }


def read_run(path: Path) -> StoredRun:
    """The run in a file. Raises ValueError, one sentence, for whatever is wrong with it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: the file is gone") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_run(content, str(path))


def parse_run(content: bytes, source: str) -> StoredRun:
    """The run in the bytes of a file; benchmarks without our block are of other suites and left out.

    Raises ValueError, one sentence that begins with `source`, where it is empty, truncated, no JSON, of another layout
    or schema, or holds one benchmark twice. Times of 0, NaN or infinity are no error: the timing is marked unusable.
    """
    if not content.strip():
        raise ValueError(f"{source}: the file is empty")
    try:
        document = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{source}: corrupt or truncated, not JSON ({error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("benchmarks"), list):
        raise ValueError(f"{source}: no list 'benchmarks', so not a file of pytest-benchmark")
    block = _block(document, source)
    timings = (timing for entry in document["benchmarks"] if (timing := _timing(entry, source)))
    benchmarks = by_id(timings, source)
    when = _text(document, "datetime")
    return StoredRun(
        source=source,
        machine=_text(block, "machine"),
        unit=_text(block, "unit"),
        session=_text(block, "session"),
        process=_text(block, "process") or f"{source} {when}",
        when=when,
        commit=_text(document.get("commit_info") or {}, "id"),
        failed=block["failed"] if isinstance(block.get("failed"), int) else None,
        complete=block.get("complete") is True,
        benchmarks=benchmarks,
    )


def _block(owner: dict[str, Any], source: str) -> dict[str, Any]:
    block = owner.get("attn", {})
    if not isinstance(block, dict):
        raise ValueError(f"{source}: 'attn' is {type(block).__name__}, expected an object")
    schema = block.get("schema", SCHEMA)
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        advice = "update pytest-attn" if newer else "record it again"
        raise ValueError(f"{source}: schema {schema!r}, this version reads {SCHEMA}; {advice}")
    return block


def _timing(entry: Any, source: str) -> Timing | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("stats"), dict):
        raise ValueError(f"{source}: a benchmark without 'stats'")
    extra = entry.get("extra_info")
    if not isinstance(extra, dict) or "attn" not in extra:
        return None
    block = _block(extra, source)
    for name in ("case", "kernel"):
        if not _text(block, name):
            raise ValueError(f"{source}: a benchmark's 'attn' has no {name!r}")
    id = BenchmarkId(block["case"], block["kernel"])
    inner = block.get("inner", 1)
    if not isinstance(inner, int) or inner < 1:
        raise ValueError(f"{source}: {id}: inner is {inner!r}, expected a whole number from 1")
    return _per_call(id, entry["stats"], block, inner, source)


def _per_call(id: BenchmarkId, stats: dict[str, Any], block: dict[str, Any], inner: int, source: str) -> Timing:
    seconds = _times(stats.get("data", []), inner, f"{source}: {id}: data")
    control = _times(block.get("control", []), inner, f"{source}: {id}: control")
    pairs = block.get("control_again", [])
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"{source}: {id}: control_again is not a list of pairs")
    again = _times([time for pair in pairs for time in pair], inner, f"{source}: {id}: control_again")
    stored = [] if seconds else [stats.get("median")]
    try:
        return Timing.of(
            id,
            seconds=seconds,
            control=control,
            again=tuple(zip(again[::2], again[1::2], strict=True)),
            stored_median=next(iter(_times(stored, inner, f"{source}: {id}: median")), math.nan),
            tflops=block.get("tflops"),
            flops=block.get("flops"),
            control_flops=block.get("control_flops"),
            discarded=block["discarded"] if isinstance(block.get("discarded"), int) else 0,
            source_hash=_text(block, "source_hash"),
            conditions={name: block[name] for name in CONDITIONS if name in block},
            versions=block["versions"] if isinstance(block.get("versions"), dict) else {},
        )
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _times(values: Any, inner: int, what: str) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise ValueError(f"{what} is not a list of seconds")
    # JSON has no NaN of its own: a writer that must keep to it stores null.
    times = [math.nan if value is None else value for value in values]
    if not all(isinstance(time, int | float) and not isinstance(time, bool) for time in times):
        raise ValueError(f"{what} holds something that is no number")
    return tuple(float(time) / inner for time in times)


def _text(owner: Any, name: str) -> str:
    value = owner.get(name) if isinstance(owner, dict) else None
    return value if isinstance(value, str) else ""
