"""The sampler: a kernel and its control in turns, so that both meet the same noise of the machine."""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_attn.bench.clock import Clock, Work
from pytest_attn.bench.samples import Samples
from pytest_attn.bench.throttle import Throttled, never

BLOCK_SECONDS = 5e-3
"""Shortest block that is timed, unless the clock needs a longer one."""

RESOLUTIONS = 1000
"""A block is at least so many times the resolution of the clock."""

MOST_CALLS = 10_000
MOST_COLD_CALLS = 8
"""Calls in a block of a cold kernel: each follows a flush, which takes longer than a short kernel."""

Pair = tuple[float, float]
NO_TIMES = (math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Arm:
    """Work with the number of calls that make one block, and what runs untimed before each timed stretch."""

    work: Work
    calls: int
    flush: Work | None = None

    def seconds(self, clock: Clock) -> float:
        """Seconds per call in one block; a cold kernel is flushed before every call, else the calls follow close."""
        if self.flush is not None:
            return sum(clock.measure(self.work, self.flush) for _ in range(self.calls)) / self.calls

        def block() -> None:
            for _ in range(self.calls):
                self.work()

        return clock.measure(block) / self.calls


def sample(
    clock: Clock,
    kernel: Work,
    controls: tuple[Work, Work],
    *,
    rounds: int,
    seed: int,
    flush: Work | None,
    before: Samples | None = None,
    throttled: Throttled = never,
) -> Samples:
    """Time `rounds` pairs kernel / control and, between them, as many pairs of the two controls.

    The order inside the pairs is balanced, half of the rounds each way, and shuffled by `seed`. `flush` empties the
    caches before every call of the kernel; None leaves them warm. `before`: samples of the same work, whose calls in a
    block are taken over. Rounds after which the device is `throttled` are measured again, as many as there are rounds;
    what cannot be measured then is NaN. Raises ValueError where `rounds` cannot be balanced.
    """
    if rounds < 2 or rounds % 2:
        raise ValueError(f"rounds is {rounds}; allowed: an even number from 2")
    orders = random.Random(seed)
    kernel_first, control_first = _balanced(rounds, orders), _balanced(rounds, orders)
    with _without_garbage_collection():
        subject = Arm(kernel, before.kernel_calls, flush) if before else calibrated(clock, kernel, flush)
        left = Arm(controls[0], before.control_calls) if before else calibrated(clock, controls[0])
        right = Arm(controls[1], left.calls)
        for arm in (subject, left, right):
            arm.seconds(clock)
        patience = rounds
        times: list[tuple[Pair, Pair]] = []
        while len(times) < rounds:
            first, again_first = kernel_first[len(times)], control_first[len(times)]
            pairs = _pair(clock, subject, left, first), _pair(clock, left, right, again_first)
            if not throttled():
                times.append(pairs)
            elif patience:
                patience -= 1
            else:
                times.extend([(NO_TIMES, NO_TIMES)] * (rounds - len(times)))
    return Samples(
        kernel=tuple(pair[0] for pair, _ in times),
        control=tuple(pair[1] for pair, _ in times),
        kernel_first=kernel_first,
        control_again=tuple(again for _, again in times),
        control_first=control_first,
        kernel_calls=subject.calls,
        control_calls=left.calls,
        discarded=rounds - patience,
    )


def calibrated(clock: Clock, work: Work, flush: Work | None = None) -> Arm:
    """The work with as many calls as fill a block, judged by the fastest of three calls after a first one."""
    least = max(BLOCK_SECONDS, RESOLUTIONS * clock.resolution)
    clock.measure(work, flush)
    seconds = min(clock.measure(work, flush) for _ in range(3))
    most = MOST_COLD_CALLS if flush else MOST_CALLS
    # A clock that says 0 or nothing at all is judged by what it says of the rounds, not here.
    calls = min(math.ceil(least / seconds), most) if seconds > least / most else most if seconds > 0 else 1
    return Arm(work, calls, flush)


def _pair(clock: Clock, left: Arm, right: Arm, left_first: bool) -> Pair:
    if left_first:
        seconds = left.seconds(clock)
        return seconds, right.seconds(clock)
    other = right.seconds(clock)
    return left.seconds(clock), other


def _balanced(rounds: int, orders: random.Random) -> tuple[bool, ...]:
    order = [True, False] * (rounds // 2)
    orders.shuffle(order)
    return tuple(order)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
