"""What no kernel can do: more work per second than the machine has shown that it does in a matmul."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.timing import Timing


def control_advantage(timing: Timing) -> float:
    """FLOP rate of the control over that of the kernel, of a usable timing with raw rounds."""
    return timing.control_work * float(np.median(np.divide(timing.seconds, timing.control)))


def peak_rate(runs: Sequence[StoredRun]) -> float:
    """FLOP rate, TFLOP/s, of the fastest control; 0 where none is known."""
    timings = [timing for run in runs for timing in run.benchmarks.values() if timing.raw and not timing.unusable]
    return max(((timing.tflops or 0.0) * control_advantage(timing) for timing in timings), default=0.0)


def why_too_fast(timing: Timing, peak: float, limit: float) -> str:
    """Why a usable timing cannot be: over `limit` times the rate `peak`, TFLOP/s; empty where it can.

    Without a rate its own control is the measure. That of a small problem may be all overhead, so the fastest of a run
    is nearer to what the machine can do.
    """
    if not timing.raw:
        return ""
    excess = timing.tflops / peak if timing.tflops and peak else 1 / control_advantage(timing)
    if excess <= limit:
        return ""
    return f"{excess:.3g} times the FLOP rate of the control: faster than the machine allows"
