"""A run out of measurements is the run that a file of them would hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import measured
import pytest

from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.samples import Samples
from pytest_attn.gate.run_file import parse_run, run_block
from pytest_attn.gate.stored_run import StoredRun, stored_run
from pytest_attn.records.benchmark_id import BenchmarkId

SAMPLES = Samples(
    kernel=(0.0031, 0.0029, 0.00301),
    control=(0.0021, 0.0019, 0.00201),
    kernel_first=(True, False, True),
    control_again=((0.0021, 0.0022), (0.0019, 0.0020), (0.0020, 0.0021)),
    control_first=(True, False, True),
    kernel_calls=5,
    control_calls=3,
)
MEASUREMENT = replace(
    measured.MEASUREMENT,
    samples=SAMPLES,
    clock="cuda events",
    cold=True,
    device="cuda:0",
    device_name="a GPU",
    versions={"torch": "2.13"},
)
ORIGIN: dict[str, Any] = {"machine": "a-gpu", "unit": "GPU-a", "process": "p", "failed": 2, "complete": True}
WHEN = "2026-11-25T03:00:00+00:00"


def run_of(*measurements: Measurement) -> StoredRun:
    return stored_run(measurements, source="this run", when=WHEN, **ORIGIN)


def timing_of(**changes: Any) -> Any:
    """The timing of one measurement whose samples are changed."""
    (timing,) = run_of(replace(MEASUREMENT, samples=replace(SAMPLES, **changes))).benchmarks.values()
    return timing


def test_it_is_the_run_that_is_read_back_from_its_file() -> None:
    measurements = [MEASUREMENT, replace(MEASUREMENT, case="b1-h2-s64", versions={})]
    entries = [{"stats": {"data": [*each.samples.kernel]}, "extra_info": each.extra_info()} for each in measurements]
    document = {"datetime": WHEN, "benchmarks": entries, "attn": run_block(**ORIGIN)}
    assert run_of(*measurements) == parse_run(json.dumps(document).encode(), "this run")


@pytest.mark.parametrize("time", [0.0, float("nan"), float("inf")])
def test_a_time_that_is_none_makes_its_timing_unusable(time: float) -> None:
    assert timing_of(kernel=(time, 0.1, 0.1)).unusable == f"1 times of the kernel are no times, as {time:g} s"


def test_a_device_that_was_throttled_too_often_is_named() -> None:
    found = timing_of(kernel=(float("nan"), 0.1, 0.1), discarded=9)
    assert found.unusable == "the device was throttled in 9 rounds, too often to measure"


def test_a_kernel_of_no_time_has_no_rate() -> None:
    assert timing_of(kernel=(0.0, 0.0, 0.0)).tflops is None


def test_one_benchmark_that_was_measured_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^this run: .* is there twice") as caught:
        run_of(MEASUREMENT, MEASUREMENT)
    assert str(BenchmarkId(MEASUREMENT.case, MEASUREMENT.kernel)) in str(caught.value)


def test_no_measurement_is_no_run() -> None:
    with pytest.raises(ValueError, match=r"^this run: no benchmark of an attention kernel in it"):
        run_of()
