"""From a kernel that was judged right on a case to its measurement."""

from __future__ import annotations

from typing import Any

import torch

from pytest_attn.bench.clock import Clock, clock_for
from pytest_attn.bench.control import Control
from pytest_attn.bench.flush import flush_of
from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.repeats import why_not_computed
from pytest_attn.bench.sampler import sample
from pytest_attn.bench.samples import Samples
from pytest_attn.bench.source import source_hash
from pytest_attn.bench.throttle import throttle_of
from pytest_attn.bench.work import Work
from pytest_attn.checks.subject import Subject
from pytest_attn.checks.trial import Trial
from pytest_attn.devices.machine import device_model, versions
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import PreparedRun
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.pairs import flops

FEWEST_ROUNDS = 20
"""Exact bounds of a median at 99 % with room for outliers need that many pairs."""

FRESH = 7_919
"""Added to the seed: what is timed are normal random inputs that no check has shown to the kernel."""

SETS = 2
"""Repetitions take their inputs in turns from so many sets: none has those of the one before, and the oracle, which may
take longer than all rounds of a repetition, is asked no more often."""

TIMED = "timed"
"""The part of a finding about the last timed call of a repetition."""

BEFORE = 15_485_863
"""Added to the seed for what lies in the same memory before the inputs that are timed."""


class WrongWhenTimedError(Exception):
    """What a timed call returned is wrong, as `verdict` says."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.summary)
        self.verdict = verdict


class LastResult:
    """A prepared run that keeps what its last call returned, and frees it before the next as a loop would."""

    def __init__(self, run: PreparedRun) -> None:
        self._run = run
        self.returned: Any = None

    def __call__(self) -> None:
        """Run it."""
        self.returned = None
        self.returned = self._run()


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
    """The rounds of one repetition: a kernel on a case beside its control; the result of the last timed call is judged.

    Inputs are normal random numbers whatever the recipe of the case is, in memory of their own for every `number`;
    other numbers lay there when the kernel was called before. `prepare` runs untimed. `cold` empties the caches before
    every call. `before` are the samples of the repetitions before. Raises ValueError for odd `rounds`, and
    WrongWhenTimedError where that result is wrong or, in the first repetition, repeated calls are not computed.
    """
    clock = clock or clock_for(subject.device)
    device, seed, problem = subject.device, subject.seed + number, subject.problem
    inputs = subject.draw(problem, FRESH + number % SETS)
    memory = subject.guarded(subject.draw(problem, BEFORE + number))
    subject.trial(problem, memory).prepared()()
    given = memory.refill(inputs)
    trial = subject.trial(problem, given)
    run = LastResult(trial.prepared())
    samples = sample(
        clock,
        run,
        (_control(subject, case, seed), _control(subject, case, seed + 1)),
        rounds=rounds,
        seed=seed,
        flush=flush_of(device.torch) if cold else None,
        before=before,
        throttled=throttle_of(device),
    )
    refuse_wrong(subject, inputs, trial, run.returned)
    if number == 0 and not samples.unusable:
        tensors = (given.query.tensor, given.key.tensor, given.value.tensor)
        if why := why_not_computed(clock, run, tensors, min(samples.kernel)):
            raise WrongWhenTimedError(Verdict((Finding(what="repeats", words=why),)).of(TIMED))
    return samples


def refuse_wrong(subject: Subject, inputs: Inputs, trial: Trial, returned: Any) -> None:
    """Raises WrongWhenTimedError where what a timed call on `inputs` returned is wrong."""
    subject.device.synchronize()
    result = trial.read(returned)
    verdict = subject.compare(subject.problem, inputs, result if isinstance(result, Finding) else result.clone())
    if not verdict.passed:
        raise WrongWhenTimedError(verdict.of(TIMED))


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
    """The measurement of one repetition. Its peak memory is not known yet. Raises what `time_rounds` raises."""
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
