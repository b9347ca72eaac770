"""Decisions of the gate as lines and as plain data."""

from __future__ import annotations

from pytest_attn.gate.gate import Gate
from pytest_attn.records.decision import Decision, seconds


def decision_lines(gate: Gate) -> list[str]:
    """A line per benchmark, worst first, and the claim; what is wrong with a run as a whole is a failure of its own
    where the gate is strict, and not said again."""
    told = filter(None, [gate.undecided, *gate.counts])
    claim = gate.claim if gate.mode == "report" else " | ".join(told) or "nothing was compared"
    return [*(_line(decision) for decision in gate.decisions), f"gate ({gate.mode}): {claim}"]


def _line(decision: Decision) -> str:
    figures = f"{seconds(decision.old):>9} -> {seconds(decision.new):>9}"
    if decision.ratio is not None and decision.interval is not None:
        low, high = decision.interval
        figures += f"  x {decision.ratio:.3f} ({low:.3f} to {high:.3f})"
    if decision.smallest_detectable is not None:
        figures += f"  sees {decision.smallest_detectable:.1%}"
    why = "; ".join(part for part in (decision.stage, decision.reason) if part)
    return f"{decision.word:12} {figures}  {decision.id}" + (f"; {why}" if why else "")
