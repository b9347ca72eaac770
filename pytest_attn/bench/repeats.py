"""Repeated calls: whether a kernel computes each of them, or only the first on the same inputs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pytest_attn.bench.clock import Clock, Work
from pytest_attn.checks.bits import bits

LEAST_RATIO = 5.0
"""A call on changed inputs takes so many times as long as one that repeats it where the repeated one is not computed;
what is computed takes as long again."""

LEAST_SECONDS = 2e-5
"""A smaller difference is not looked at: calls of Python take about as long."""

SHORT, SHORT_TRIES, LONG_TRIES = 5e-3, 6, 2
"""Pairs of calls in one look: more of a kernel that takes less than so many seconds, as noise is larger there."""

LOOKS = 3
"""All of them must agree: one may have been disturbed."""


def why_not_computed(clock: Clock, run: Work, inputs: Iterable[Tensor], seconds: float) -> str:
    """Why a repeated call is none that was computed, in words; empty where it is.

    Changes the sign of one number of each of the `inputs` between calls, and leaves them changed. `seconds`: what a
    repeated call takes, about.
    """
    firsts = [bits(tensor)[(slice(0, 1),) * tensor.dim()] for tensor in inputs]
    tries = SHORT_TRIES if seconds < SHORT else LONG_TRIES
    for _ in range(LOOKS):
        changed, repeated = _fastest(clock, run, firsts, tries)
        if changed < LEAST_RATIO * repeated or changed - repeated < LEAST_SECONDS:
            return ""
    times = f"{changed / repeated:.2g} times as long as" if repeated > 0 else f"{changed:.2g} s longer than"
    return f"a call on changed inputs takes {times} one that repeats it: repeated calls are not computed"


def _fastest(clock: Clock, run: Work, firsts: Iterable[Tensor], tries: int) -> tuple[float, float]:
    """(seconds of a call on changed inputs, seconds of one that repeats it), the least of some of each."""
    changed, repeated = [], []
    for _ in range(tries):
        for number in firsts:
            number.bitwise_xor_(torch.iinfo(number.dtype).min)
        changed.append(clock.measure(run))
        repeated.append(clock.measure(run))
    return min(changed), min(repeated)
