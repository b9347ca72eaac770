"""A measurement: how fast a kernel is on a case, as plain data that is stored and compared."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_attn.bench.samples import Samples
from pytest_attn.plain import from_plain

SCHEMA_VERSION = 1
"""Raised when a field of a measurement changes its meaning or goes away."""

BLOCK = "attn"
"""Under `extra_info`: where a measurement stands in a file of pytest-benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one process measured of one kernel on one case."""

    case: str
    kernel: str
    source_hash: str
    """Hash of the kernel's source files."""

    samples: Samples
    clock: str
    """What was read: `perf_counter`, `cuda events`, `npu events`."""

    cold: bool
    """Whether the caches were emptied before every call of the kernel."""

    control_name: str
    """The control, such as `matmul-1024-float32`."""

    control_flops: int
    flops: int
    flop_formula: str
    bytes: int
    byte_formula: str
    peak_bytes: int | None
    """Most memory that a run holds beside its inputs; None where that is not known."""

    device: str
    device_name: str
    threads: int
    seed: int
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION

    @property
    def seconds(self) -> float:
        """The median time of one call."""
        return statistics.median(self.samples.kernel)

    @property
    def tflops(self) -> float:
        """10^12 floating-point operations per second, by `flop_formula`, at the median time; NaN for a time of 0."""
        return self.flops / self.seconds * 1e-12 if self.seconds else float("nan")

    @property
    def gigabytes_per_second(self) -> float:
        """10^9 bytes per second, by `byte_formula`, at the median time; NaN for a time of 0."""
        return self.bytes / self.seconds * 1e-9 if self.seconds else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"samples": self.samples.as_dict()}

    @staticmethod
    def of_dict(plain: Any) -> Measurement:
        """The measurement of `as_dict()`; fields of a newer schema are left out. Raises ValueError, one sentence, where
        one is missing or no field of a measurement."""
        found = from_plain(Measurement, plain)
        found.samples.refuse_uneven()
        return found

    def extra_info(self) -> dict[str, Any]:
        """What pytest-benchmark stores of it under `extra_info`: one flat block `attn`, without the raw times of the
        kernel, which are `stats.data`."""
        plain = self.as_dict()
        samples = plain.pop("samples")
        del samples["kernel"]
        rates = {"tflops": self.tflops, "gigabytes_per_second": self.gigabytes_per_second}
        return {BLOCK: plain | rates | samples}
