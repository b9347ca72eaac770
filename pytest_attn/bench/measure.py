"""From a kernel that was judged right on a case to its measurement."""

from __future__ import annotations

import torch

from pytest_attn.bench.clock import Clock, clock_for
from pytest_attn.bench.control import Control
from pytest_attn.bench.flush import flush_of
from pytest_attn.bench.machine import device_name, versions
from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.memory import PeakMemory
from pytest_attn.bench.sampler import ROUNDS, sample
from pytest_attn.bench.source import source_hash
from pytest_attn.bench.work import Work
from pytest_attn.checks.subject import Subject
from pytest_attn.problem.case import Case

FRESH = 7_919
"""Added to the seed: what is timed are normal random inputs that no check has shown to the kernel."""


def measure(
    subject: Subject,
    case: Case,
    spec: str,
    *,
    rounds: int = ROUNDS,
    cold: bool = False,
    memory: PeakMemory | None = None,
    clock: Clock | None = None,
) -> Measurement:
    """Time a kernel on a case beside its control; whether it is right was asked before.

    Inputs are normal random numbers whatever the recipe of the case is. `prepare` runs untimed. `cold` empties the
    caches before every call; `memory` runs the kernel again for its peak. Raises ValueError for bad `rounds`.
    """
    device = subject.device
    clock = clock or clock_for(device)
    inputs = subject.draw(subject.problem, FRESH)
    given = subject.guarded(inputs).inputs if subject.layout != "contiguous" else inputs.stored()
    first, second = (Control.of(case.flops, subject.problem.dtype, device.torch, subject.seed + i) for i in range(2))
    flush = flush_of(device.torch) if cold else None
    with torch.no_grad():
        run = subject.kernel.prepare(subject.problem, given)
        samples = sample(clock, run, (first, second), rounds=rounds, seed=subject.seed, flush=flush)
    work = Work.of(case)
    return Measurement(
        case=case.id,
        kernel=spec,
        source_hash=source_hash(subject.kernel),
        samples=samples,
        clock=clock.name,
        cold=cold,
        control_name=first.name,
        control_flops=first.flops,
        flops=work.flops,
        flop_formula=work.flop_formula,
        bytes=work.bytes,
        byte_formula=work.byte_formula,
        peak_bytes=memory.of(spec, subject.kernel, case, inputs.stored(), subject.seed) if memory else None,
        device=device.name,
        device_name=device_name(device),
        threads=torch.get_num_threads(),
        seed=subject.seed,
        versions=versions(device),
    )
