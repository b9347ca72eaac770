"""Decisions of the gate as lines and as plain data."""

from __future__ import annotations

from pytest_attn.gate.gate import Gate
from pytest_attn.records.decision import Decision, Word, seconds

ACCEPT = "python -m pytest_attn baseline accept --why=..."
NEXT: dict[Word, str] = {
    "slower": f"the command in its failure shows it again; where it was meant: {ACCEPT}",
    "suspicious": f"see what the kernel computes, and with which clock it is timed; where it is right: {ACCEPT}",
    "gone": f"where it was meant to go: {ACCEPT} --gone=CASE",
    "foreign": f"measure under the conditions of the baseline, or make another one: {ACCEPT}",
    "inconclusive": "measure while nothing else runs here, record the baseline over --sessions=5, or give the test a "
    "wider floor (@pytest.mark.attn_slowdown)",
}
"""What to do about a benchmark that fails the gate, by what became of it."""


def decision_lines(gate: Gate) -> list[str]:
    """A line per benchmark, worst first, the claim, and what to do about what fails; what is wrong with a run as a
    whole is a failure of its own where the gate is strict, and not said again."""
    told = filter(None, [gate.undecided, *gate.counts])
    claim = gate.claim if gate.mode == "report" else " | ".join(told) or "nothing was compared"
    return [*(_line(decision) for decision in gate.decisions), f"gate ({gate.mode}): {claim}", *_next(gate)]


def _next(gate: Gate) -> list[str]:
    """What to do about what fails, a line for each word, worst first."""
    words = dict.fromkeys(decision.word for decision in gate.failing)
    return [f"next, {word}: {NEXT[word]}" for word in words]


def _line(decision: Decision) -> str:
    figures = f"{seconds(decision.old):>9} -> {seconds(decision.new):>9}"
    if decision.ratio is not None and decision.interval is not None:
        low, high = decision.interval
        figures += f"  x {decision.ratio:.3f} ({low:.3f} to {high:.3f})"
    if decision.smallest_detectable is not None:
        figures += f"  sees {decision.smallest_detectable:.1%}"
    why = "; ".join(part for part in (decision.stage, decision.reason) if part)
    return f"{decision.word:12} {figures}  {decision.id}" + (f"; {why}" if why else "")
