"""From a kernel that was judged right on a case to its measurement."""

from __future__ import annotations

import torch

from pytest_attn.bench.clock import Clock, clock_for
from pytest_attn.bench.control import Control
from pytest_attn.bench.flush import flush_of
from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.sampler import sample
from pytest_attn.bench.samples import Samples
from pytest_attn.bench.source import source_hash
from pytest_attn.bench.throttle import throttle_of
from pytest_attn.bench.work import Work
from pytest_attn.checks.subject import Subject
from pytest_attn.devices.machine import device_model, versions
from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import flops

FEWEST_ROUNDS = 20
"""Exact bounds of a median at 99 % with room for outliers need that many pairs."""

FRESH = 7_919
"""Added to the seed: what is timed are normal random inputs that no check has shown to the kernel."""


def rounds_of_repetitions(rounds: int, repetitions: int) -> tuple[int, ...]:
    """The rounds of each repetition. Raises ValueError where `rounds` cannot be balanced or are too few to decide
    anything."""
    if rounds < FEWEST_ROUNDS or rounds % 2:
        raise ValueError(f"rounds is {rounds}; allowed: an even number, {FEWEST_ROUNDS} or more")
    pairs, more = divmod(rounds // 2, repetitions)
    return tuple(2 * (pairs + (number < more)) for number in range(repetitions))


def time_rounds(
    subject: Subject,
    case: Case,
    *,
    rounds: int,
    number: int = 0,
    cold: bool = False,
    clock: Clock | None = None,
    before: Samples | None = None,
) -> Samples:
    """The rounds of one repetition: a kernel on a case beside its control; whether it is right was asked before.

    Inputs are normal random numbers whatever the recipe of the case is, others in memory of their own for every
    `number`. `prepare` runs untimed. `cold` empties the caches before every call. `before` are the samples of the
    repetitions before. Raises ValueError for odd `rounds`.
    """
    device, seed = subject.device, subject.seed + number
    inputs = subject.draw(subject.problem, FRESH + number)
    given = subject.guarded(inputs).inputs if subject.layout != "contiguous" else inputs.stored()
    controls = _control(subject, case, seed), _control(subject, case, seed + 1)
    flush = flush_of(device.torch) if cold else None
    with torch.no_grad():
        run = subject.kernel.prepare(subject.problem, given)
        return sample(
            clock or clock_for(device),
            run,
            controls,
            rounds=rounds,
            seed=seed,
            flush=flush,
            before=before,
            throttled=throttle_of(device),
        )


def _control(subject: Subject, case: Case, seed: int) -> Control:
    return Control.of(flops(case), subject.problem.dtype, subject.device.torch, seed)


def measure(
    subject: Subject,
    case: Case,
    spec: str,
    *,
    rounds: int = FEWEST_ROUNDS,
    cold: bool = False,
    clock: Clock | None = None,
) -> Measurement:
    """The measurement of one repetition. Its peak memory is not known yet."""
    device = subject.device
    clock = clock or clock_for(device)
    samples = time_rounds(subject, case, rounds=rounds, cold=cold, clock=clock)
    control = _control(subject, case, subject.seed)
    work = Work.of(case)
    return Measurement(
        case=case.id,
        kernel=spec,
        source_hash=source_hash(subject.kernel),
        samples=samples,
        clock=clock.name,
        cold=cold,
        control_name=control.name,
        control_flops=control.flops,
        flops=work.flops,
        flop_formula=work.flop_formula,
        bytes=work.bytes,
        byte_formula=work.byte_formula,
        peak_bytes=None,
        device=device.name,
        device_name=device_model(device),
        threads=torch.get_num_threads(),
        seed=subject.seed,
        versions=versions(device),
    )
