"""How often the gate is right: on unchanged code, on code that is slower by a known share, on a loaded machine.

    python benchmarks/gate_power.py measure DIR [--runs 6] [--arm 0 --arm 0.1 --arm load ...] [PYTEST ARGUMENTS]
    python benchmarks/gate_power.py decide DIR

`measure` starts fresh processes of the latency tests on `benchmarks/slowed.py:sdpa`: `baseline` (ten), then `--runs` of
each arm: 0 (unchanged), a share by which every kernel does more of its own work, or `load` (unchanged, with another
process multiplying matrices on one core). Arms are run by turns, so that all meet the same noise of the machine. It can
be ended and started again; what is there is kept.

`decide` compares every run of an arm; its fresh processes are the arm's other runs in turn, and prints
what became of each benchmark. Shares are stated as the kernel measured them in its own process, not as they were asked
for. More work also costs memory that must be fetched anew, which that does not show; so a second table sorts the same
decisions by what the slowdown of each benchmark came to, over all processes of its arm.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_attn.execution.isolation.fresh import measure_afresh
from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.comparison import compare
from pytest_attn.gate.decide_run import decide_run
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.run_file import read_run
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision

KERNEL = f"{Path(__file__).resolve().parent / 'slowed.py'}:sdpa"
SUITE = [str(Path(__file__).parent / "power_cells.py"), "-k", "s1024 or s512"]
BASELINE = "baseline"
BASELINE_RUNS = 10
LOADED = "load"
CLASSES = (
    ("below 4 %", -1.0, 0.04),
    ("4 to 6 %", 0.04, 0.06),
    ("6 to 8 %", 0.06, 0.08),
    ("8 to 12 %", 0.08, 0.12),
    ("over 12 %", 0.12, math.inf),
)
LOAD = "import torch; torch.set_num_threads(1); a = torch.randn(1024, 1024)\nwhile True: a @ a"


def main() -> None:
    """Measure, or decide and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("measure", "decide"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--arm", action="append", metavar="SHARE", help="default: 0, 0.07, 0.1 and load")
    asked, rest = parser.parse_known_args()
    if asked.action == "measure":
        measure(asked.folder, asked.arm or ["0", "0.07", "0.1", "load"], asked.runs, rest)
    else:
        decide(asked.folder)


def measure(folder: Path, arms: Sequence[str], runs: int, arguments: Sequence[str]) -> None:
    """Runs of the baseline and of every arm, one after the other, each arm in turn."""
    order = [(BASELINE, number) for number in range(BASELINE_RUNS)]
    order += [(arm, number) for number in range(runs) for arm in arms]
    for arm, number in order:
        file = folder.absolute() / arm / f"{number:02}.json"
        if file.is_file():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        with arm_of(arm, file.parent):
            fresh = measure_afresh([*(arguments or SUITE), f"--attn-kernel={KERNEL}"], file, Path.cwd())
        print(f"{arm} {number}: pytest ended with {fresh.status}", flush=True)
        if fresh.status:
            print(fresh.printed[-2000:], file=sys.stderr)


@contextmanager
def arm_of(arm: str, folder: Path) -> Iterator[None]:
    """What fresh processes find in their environment, and what runs beside them."""
    if arm == LOADED:
        beside = subprocess.Popen([sys.executable, "-c", LOAD])
        try:
            yield
        finally:
            beside.kill()
            beside.wait()
        return
    os.environ.update(ATTN_SLOWED="0" if arm == BASELINE else arm, ATTN_SLOWED_LOG=str(folder / "shares.jsonl"))
    try:
        yield
    finally:
        del os.environ["ATTN_SLOWED"], os.environ["ATTN_SLOWED_LOG"]


def decide(folder: Path) -> None:
    """Every run of every arm against the baseline."""
    rule = Rule()
    recorded = runs_of(folder / BASELINE)
    baseline = Baseline.of(recorded, rule)
    spreads = sorted(expected.spread.process for expected in baseline.expected.values())
    print(f"baseline: {len(recorded)} processes, {len(spreads)} benchmarks of {shortest(baseline):.1f} ms and more")
    print(f"spread between processes: {spreads[0]:.1%} to {spreads[-1]:.1%}, median {statistics.median(spreads):.1%}")
    print(f"{'arm':>10} {'measured':>16} decisions {'suspected':>9} same slower faster unclear other  of which slower")
    found: dict[str, Counter[str]] = {name: Counter() for name, _, _ in CLASSES}
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and path.name != BASELINE):
        runs = runs_of(path)
        decided = list(decisions_of(baseline, runs, rule))
        print(row(path, decided))
        if not path.name.startswith(LOADED):
            classes = {id: class_of(slowdown_of(id, baseline, runs)) for id in baseline.expected}
            for decisions in decided:
                for decision in decisions:
                    found[classes[decision.id]][decision.word] += 1
    print(f"{'slowdown':>10} decisions slower share")
    for name, words in found.items():
        if total := sum(words.values()):
            print(f"{name:>10} {total:9} {words['slower']:6} {words['slower'] / total:.1%}")


def slowdown_of(id: BenchmarkId, baseline: Baseline, runs: Sequence[StoredRun]) -> float:
    """What the slowdown of a benchmark came to, a fraction: all processes of an arm against all of the baseline."""
    timings = [run.benchmarks[id] for run in runs if id in run.benchmarks]
    rule = Rule()
    return math.expm1(compare(baseline.expected[id], timings, rule.floor, rule.suspect_rate).learned.shift)


def class_of(slowdown: float) -> str:
    """The name of the class that a slowdown is in."""
    return next(name for name, low, high in CLASSES if low <= slowdown < high)


def decisions_of(baseline: Baseline, runs: Sequence[StoredRun], rule: Rule) -> Iterator[Sequence[Decision]]:
    """The decisions on every run; fresh processes are the other runs of the arm, in random order."""
    for number, run in enumerate(runs):
        others = [other for other in runs if other is not run]
        random.Random(number).shuffle(others)

        def measure_again(ids: frozenset[BenchmarkId], waiting: list[StoredRun] = others) -> list[StoredRun]:
            taken, waiting[:] = waiting[: rule.confirmations], waiting[rule.confirmations :]
            return taken

        yield decide_run(baseline, run, measure_again, rule=rule)


def row(path: Path, decided: Sequence[Sequence[Decision]]) -> str:
    """A line of the table."""
    decisions = [decision for each in decided for decision in each]
    words = Counter(decision.word for decision in decisions)
    first = sum(bool(decision.stage) for decision in decisions)
    shown = [words[word] for word in ("same", "slower", "faster", "inconclusive")]
    other = len(decisions) - sum(shown)
    share = words["slower"] / len(decisions) if decisions else 0.0
    counts = f"{shown[0]:4} {shown[1]:6} {shown[2]:6} {shown[3]:5} {other:5}"
    return f"{path.name:>10} {shares_in(path):>16} {len(decisions):9} {first:9} {counts}  {share:.1%}"


def shares_in(path: Path) -> str:
    """The shares that the kernel measured of itself: the median and the middle nine tenths."""
    log = path / "shares.jsonl"
    if not log.is_file():
        return "-"
    found = sorted(json.loads(line)["measured"] for line in log.read_text().splitlines())
    low, high = found[len(found) // 20], found[-1 - len(found) // 20]
    return f"{statistics.median(found):.1%} ({low:.1%}-{high:.1%})"


def shortest(baseline: Baseline) -> float:
    """The time of the fastest benchmark, ms."""
    return 1e3 * min(expected.seconds for expected in baseline.expected.values())


def runs_of(folder: Path) -> list[StoredRun]:
    """The runs in a folder, oldest first."""
    return [read_run(path) for path in sorted(folder.glob("[0-9]*.json"))]


if __name__ == "__main__":
    main()
