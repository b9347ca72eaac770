"""How often the gate is right where a machine differs from session to session: simulated times, real decisions.

    python benchmarks/session_effects.py [--runs 20] [--benchmarks 50] [--slow 0.10]

Each run has a baseline of its own and is of another session, which its fresh processes share; a session shifts every
benchmark by a normal number of 0 to 3 %. Noise is that of `tests/gate/synthetic.py`: 1.5 % of each measurement, 1 % of
drift, 0.8 % of memory layout per process. Printed for unchanged code: alarms, runs with any, inconclusive benchmarks;
and how many of the slowdowns of 10 % are found, where one benchmark in ten slowed and where all did.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "gate"))

from synthetic import Host, named

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide_run import decide_run
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision

EFFECTS = (0.0, 0.005, 0.01, 0.02, 0.03)
LAYOUTS = ((1, 10), (5, 2), (5, 3), (8, 3))
"""(sessions of the baseline, processes of each)."""

Slow = Mapping[BenchmarkId, float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--benchmarks", type=int, default=50)
    parser.add_argument("--slow", type=float, default=0.10)
    asked = parser.parse_args()
    ids = named(asked.benchmarks)
    some, every = dict.fromkeys(ids[::10], asked.slow), dict.fromkeys(ids, asked.slow)
    print(
        "sessions x processes  effect  alarms  runs with any  inconclusive  sees  found: one in ten   all", flush=True
    )
    for sessions, processes in LAYOUTS:
        for effect in EFFECTS:
            unchanged, few, all_of_them = (
                [decided(ids, sessions, processes, effect, slow, seed) for seed in range(asked.runs)]
                for slow in ({}, some, every)
            )
            alarms = [sum(each.word in ("slower", "faster") for each in run) for run in unchanged]
            words = Counter(each.word for run in unchanged for each in run)
            sees = np.median([each.smallest_detectable for run in unchanged for each in run])
            print(
                f"{sessions:8} x {processes:<9} {effect:7.1%} {sum(alarms):7} {sum(map(bool, alarms)):8} of "
                f"{asked.runs:<3}{words['inconclusive'] / sum(words.values()):12.1%} {sees:6.1%} "
                f"{found(few, some):12.0%} {found(all_of_them, every):10.0%}",
                flush=True,
            )


def found(runs: list[tuple[Decision, ...]], slow: Slow) -> float:
    """The share of slowed benchmarks that are called so."""
    words = [each.word for run in runs for each in run if each.id in slow]
    return words.count("slower") / len(words)


def decided(
    ids: list[BenchmarkId], sessions: int, processes: int, effect: float, slow: Slow, seed: int
) -> tuple[Decision, ...]:
    """The decisions on one run against a baseline of its own."""
    host = Host(drift=0.01, session=effect, random=np.random.default_rng([seed, sessions, processes]))
    baseline = Baseline.of(host.sessions(sessions, processes, ids))

    def again(open_ones: frozenset[BenchmarkId]) -> list[StoredRun]:
        return host.runs(Rule().confirmations, sorted(open_ones), slow=slow, complete=False)

    return decide_run(baseline, host.run(ids, slow=slow), again)


if __name__ == "__main__":
    main()
