"""A measurement, for tests that look at what becomes of one."""

from __future__ import annotations

from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.samples import Samples

SAMPLES = Samples(
    kernel=(0.002, 0.001, 0.004),
    control=(0.1, 0.1, 0.1),
    kernel_first=(True, False, True),
    control_again=((0.1, 0.2), (0.1, 0.2), (0.1, 0.2)),
    control_first=(True, False, True),
    kernel_calls=5,
    control_calls=1,
)
MEASUREMENT = Measurement(
    case="b1-h1-s64-d32-float32-out-exact",
    kernel="kernels.py:dense",
    source_hash="abc",
    samples=SAMPLES,
    clock="perf_counter",
    cold=False,
    control_name="matmul-64-float32",
    control_flops=2 * 64**3,
    flops=10**9,
    flop_formula="pairs-2d-2dv",
    bytes=10**6,
    byte_formula="query-key-value-out-once",
    peak_bytes=None,
    device="cpu",
    device_name="a processor",
    threads=2,
    seed=42,
    versions={"python": "3.12"},
)
