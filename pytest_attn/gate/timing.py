"""A timing: what one process measured of one benchmark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_attn.records.benchmark_id import BenchmarkId

CONDITIONS = ("device", "threads", "seed", "cold")
"""Two timings that differ in these are not of the same thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times of one benchmark in one process, all in seconds per call."""

    id: BenchmarkId
    seconds: tuple[float, ...] = ()
    """The kernel, a round each; empty where the file holds no raw data."""

    control: tuple[float, ...] = ()
    """The control, paired with `seconds` by index."""

    again: tuple[tuple[float, float], ...] = ()
    """Pairs of the control against itself."""

    median: float
    """Of the kernel; where there is raw data, of that."""

    unusable: str = ""
    """Why these times say nothing, as when one is 0 or not a number; empty where they can be used."""

    source_hash: str = ""
    tflops: float | None = None
    control_work: float = 1.0
    """FLOPs of one call of the control over those of one call of the kernel."""

    conditions: Mapping[str, Any] = field(default_factory=dict)
    """The values of `CONDITIONS`, as far as they are known."""

    versions: Mapping[str, Any] = field(default_factory=dict)
    discarded: int = 0
    """Rounds that were thrown away, as the device was throttled in them."""

    @property
    def raw(self) -> bool:
        """Whether the rounds are there, each with its control."""
        return bool(self.seconds) and bool(self.control)

    @classmethod
    def of(
        cls,
        id: BenchmarkId,
        *,
        seconds: tuple[float, ...],
        control: tuple[float, ...],
        again: tuple[tuple[float, float], ...],
        stored_median: float = math.nan,
        tflops: Any = None,
        flops: Any = None,
        control_flops: Any = None,
        discarded: int = 0,
        source_hash: str = "",
        conditions: Mapping[str, Any],
        versions: Mapping[str, Any],
    ) -> Timing:
        """The timing of times as they came, in seconds per call: times of 0, NaN or infinity make it unusable.

        `stored_median` is that of the kernel where `seconds` are empty. A rate or count that is no positive number
        counts as unknown. Raises ValueError where kernel and control have not as many times.
        """
        if control and seconds and len(control) != len(seconds):
            raise ValueError(f"{id}: {len(seconds)} times of the kernel, {len(control)} of the control")
        median = statistics.median(seconds) if seconds else stored_median
        unusable = _unusable(
            kernel=seconds or (median,), control=(*control, *(time for pair in again for time in pair))
        )
        if unusable and discarded:
            unusable = f"the device was throttled in {discarded} rounds, too often to measure"
        work, control_work = _positive(flops), _positive(control_flops)
        return cls(
            id=id,
            seconds=seconds,
            control=control,
            again=again,
            median=median,
            unusable=unusable,
            source_hash=source_hash,
            tflops=_positive(tflops),
            control_work=control_work / work if control_work and work else 1.0,
            conditions=conditions,
            versions=versions,
            discarded=discarded,
        )


def _unusable(**arms: tuple[float, ...]) -> str:
    for name, times in arms.items():
        wrong = [time for time in times if not (math.isfinite(time) and time > 0)]
        if wrong:
            return f"{len(wrong)} times of the {name} are no times, as {wrong[0]:g} s"
    return ""


def _positive(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) and value > 0 else None
