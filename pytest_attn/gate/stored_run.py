"""A stored run: what one process measured, with what must be known of it to compare it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pytest_attn.bench.measurement import Measurement
from pytest_attn.gate.timing import CONDITIONS, Timing
from pytest_attn.records.benchmark_id import BenchmarkId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """What one process measured. Equal times under two names are two runs only where `process` differs."""

    source: str
    """The file's name, for sentences."""

    machine: str
    """The machine key; empty where the run does not say."""

    unit: str = ""
    """The very device, as a GPU's UUID, where there is one: boards of one model differ by a third."""

    process: str
    """A token of the process that measured; two runs of a baseline never share it."""

    session: str = ""
    """A token of the session that the process was one of, whose processes followed each other; runs that do not say so
    are of one."""

    when: str = ""
    commit: str = ""
    failed: int | None = None
    """Tests that failed in the run, of any kind; None where it does not say."""

    complete: bool = False
    """Whether every benchmark of the suite was asked for: no `-k`, no filter, no early end."""

    benchmarks: Mapping[BenchmarkId, Timing]


def stored_run(
    measurements: Sequence[Measurement],
    *,
    source: str,
    machine: str,
    unit: str,
    process: str,
    when: str,
    failed: int,
    complete: bool,
) -> StoredRun:
    """The run of what this process measured, equal to the one that is read back from a file of it.

    Raises ValueError, one sentence that begins with `source`, where nothing, or one benchmark twice, was measured.
    """
    return StoredRun(
        source=source,
        machine=machine,
        unit=unit,
        process=process,
        when=when,
        failed=failed,
        complete=complete,
        benchmarks=by_id(map(_timing, measurements), source),
    )


def by_id(timings: Iterable[Timing], source: str) -> Mapping[BenchmarkId, Timing]:
    """Timings by what they are of. Raises ValueError, one sentence that begins with `source`, where there is none or
    two are of one benchmark."""
    found: dict[BenchmarkId, Timing] = {}
    for timing in timings:
        if timing.id in found:
            raise ValueError(f"{source}: {timing.id} is there twice")
        found[timing.id] = timing
    if not found:
        raise ValueError(f"{source}: no benchmark of an attention kernel in it")
    return MappingProxyType(found)


def _timing(measured: Measurement) -> Timing:
    samples = measured.samples
    return Timing.of(
        BenchmarkId(measured.case, measured.kernel),
        seconds=samples.kernel,
        control=samples.control,
        again=samples.control_again,
        tflops=measured.tflops,
        flops=measured.flops,
        control_flops=measured.control_flops,
        discarded=samples.discarded,
        source_hash=measured.source_hash,
        conditions={name: getattr(measured, name) for name in CONDITIONS},
        versions=measured.versions,
    )
