"""One of each kind of line of a run document, with every field set."""

from __future__ import annotations

import math
from dataclasses import replace

import measured

from pytest_attn.bench.kernel_source import KernelSource
from pytest_attn.bench.samples import Samples
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.judge.verdict.finding import Finding, Place
from pytest_attn.problem.case import Case
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.case_fields import fields_of
from pytest_attn.records.decision import Decision
from pytest_attn.records.declared import Declared
from pytest_attn.records.record import Record
from pytest_attn.records.run import RunEnd, RunStart

CASE = Case.parse("b2-h4-kv2-s256x512-d64-float16-win127x0-both-exact")
KERNEL = "mine.py:attend"

START = RunStart(
    id="4f2a",
    started="2026-11-28T09:10:38.000+00:00",
    command=("pytest", "-k", "lse"),
    directory="/home/me/project",
    options={"kernel": [KERNEL], "budget": "none"},
    seed=7,
    host="bench-1",
    machine="nvidia-h100",
    devices=("cuda:1",),
    model="NVIDIA H100",
    unit="GPU-5d9e",
    versions={"torch": "2.13.0"},
    commit="0abe94d",
    dirty=True,
    workers=2,
)
DECLARED = Declared(kernel=KERNEL, claims=("dtype float16", "lse"), refuses=("more queries than keys",))
FINDING = Finding(
    what="lse",
    tensor="lse",
    words="off by -0.208, limit 9.5e-05",
    figure=-0.2079,
    limit=9.5e-05,
    place=Place(which="worst", batch=1, head=3, rows=(128, 255), count=7, of=2048, batches=2),
    part="second call",
)
NOT_FINITE = Finding(what="out_rms", tensor="out", words="RMS nan", figure=math.inf, limit=1.2)
RECORD = Record(
    case=CASE.id,
    kernel=KERNEL,
    outcome="failed",
    findings=(FINDING, NOT_FINITE),
    diagnosis=Diagnosis("lost keys", "key 256 is not attended to", ("the last tile is not read",)),
    unclaimed="window_size",
    reproduce="python -m pytest ...",
    smallest="b1-h1-s1-d1-float16-out-exact",
    source=KernelSource(spec=KERNEL, file="/home/me/project/mine.py", line=12, hash="5d9e"),
    sweep="core",
    needs=("device cuda", "dtype float16", "lse", "window_size"),
    fields=fields_of(CASE),
    figures={"out_rms": math.inf, "lse_share": 3.5},
    seconds={"kernel": 0.25},
    peak_bytes=4096,
    device="cuda:1",
    oracle="exact",
    flops=10**9,
    host="bench-1",
    worker="gw1",
    attempt=2,
)
PASSED = replace(
    RECORD, outcome="passed", findings=(), diagnosis=None, unclaimed="", reproduce="", smallest="", figures={}
)
SKIPPED = Record(case=CASE.id, kernel=KERNEL, outcome="not claimed", why="not claimed: window_size")
SAMPLES = Samples(
    kernel=(1e-3, math.nan),
    control=(2e-3, 2.1e-3),
    kernel_first=(True, False),
    control_again=((2e-3, 2.2e-3), (2.1e-3, 2e-3)),
    control_first=(False, True),
    kernel_calls=5,
    control_calls=3,
    discarded=1,
)
MEASUREMENT = replace(
    measured.MEASUREMENT,
    case=CASE.id,
    kernel=KERNEL,
    source_hash="5d9e",
    samples=SAMPLES,
    clock="cuda events",
    cold=True,
    control_name="matmul-1024-float16",
    control_flops=2 * 1024**3,
    device="cuda:1",
    device_name="NVIDIA H100",
    seed=7,
    versions={"torch": "2.13.0"},
)
DECISION = Decision(
    id=BenchmarkId(CASE.id, KERNEL),
    word="slower",
    stage="confirmed",
    old=1e-3,
    new=1.2e-3,
    ratio=1.19,
    interval=(1.15, 1.23),
    floor=0.05,
    smallest_detectable=0.06,
    reason="by 5 fresh processes",
    reproduce="python -m pytest ...",
)
END = RunEnd(
    ended="2026-11-28T09:11:00.000+00:00",
    complete=True,
    status=1,
    everything=True,
    failed=3,
    faults=("no cell was judged",),
    gate="strict",
    gate_faults=("no baseline of this machine",),
)
ALL = (START, DECLARED, RECORD, PASSED, SKIPPED, MEASUREMENT, DECISION, END)
