"""A measurement as plain data, and what pytest-benchmark stores of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from measured import MEASUREMENT, SAMPLES

from pytest_attn.bench.measurement import Measurement


def test_it_comes_back_from_json_as_it_was():
    assert Measurement.of_dict(json.loads(json.dumps(MEASUREMENT.as_dict()))) == MEASUREMENT


def test_a_field_of_a_newer_schema_is_left_out():
    assert Measurement.of_dict(MEASUREMENT.as_dict() | {"colour": "red"}) == MEASUREMENT


def test_a_missing_field_is_named():
    plain = MEASUREMENT.as_dict()
    del plain["clock"]
    with pytest.raises(ValueError, match="Measurement: without clock, which it needs"):
        Measurement.of_dict(plain)


def test_rates_are_those_of_the_median_time():
    assert MEASUREMENT.seconds == 0.002
    assert MEASUREMENT.tflops == pytest.approx(0.5)
    assert MEASUREMENT.gigabytes_per_second == pytest.approx(0.5)


def test_a_time_of_zero_has_no_rate():
    plain = MEASUREMENT.as_dict()
    plain["samples"]["kernel"] = [0.0, 0.0, 0.0]
    assert math.isnan(Measurement.of_dict(plain).tflops)


def test_extra_info_holds_all_but_the_raw_times_that_pytest_benchmark_stores():
    extra = MEASUREMENT.extra_info()
    assert extra["attn"]["kernel"] == "kernels.py:dense"
    assert extra["attn"]["tflops"] == pytest.approx(0.5)
    block = json.loads(json.dumps(extra))["attn"]
    assert Measurement.of_dict({**block, "samples": {**block, "kernel": list(SAMPLES.kernel)}}) == MEASUREMENT


def test_reading_measurements_needs_no_torch():
    code = "import sys, pytest_attn.bench.measurement; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
