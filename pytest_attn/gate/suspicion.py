"""A suspicion: what one run leaves open about a benchmark, until fresh processes have measured it again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pytest_attn.gate.comparison import Comparison
from pytest_attn.records.decision import Decision, Stage, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What a run shows of a benchmark, and what the confirming processes say of it."""

    first: Decision
    """The decision while nothing is confirmed: `noisy`."""

    direction: int
    """+1 where it seems slower, -1 faster, 0 where the run was too restless to tell."""

    again: Comparison | None
    """Of the confirming processes; None while too few have measured."""

    notes: str = ""
    """What a reader should know beside."""

    @property
    def changed(self) -> bool:
        """Whether the confirming processes show a change too, and the same one where the run showed one."""
        return self.again is not None and self.again.direction in ((self.direction,) if self.direction else (1, -1))

    @property
    def p_value(self) -> float:
        """Probability that unchanged code shows as much in the confirming processes; 1 where these show no change."""
        return self.again.p_value if self.again and self.changed else 1.0

    def settle(self, significant: bool, fewest: int) -> Decision:
        """The decision; `significant` is said of the p values of all suspicions together, and `fewest` fresh processes
        it takes to call a benchmark changed."""
        again = self.again
        if again is None:
            return self.first
        stage: Stage = "not confirmed" if self.direction else "measured again"
        figures = replace(self.first, stage=stage, new=again.seconds, ratio=again.ratio)
        if again.known:
            figures = replace(figures, interval=again.interval, smallest_detectable=again.smallest_detectable)
        changed = self.changed and significant
        if not changed and (again.beyond_floor or again.contested or again.too_wide):
            return replace(figures, word="noisy", reason=why_noisy(again))
        notes = [f"by {again.processes} fresh processes", *filter(None, [self.notes])]
        if not changed:
            return replace(figures, word="same", reason=", ".join(notes))
        word: Word = "slower" if again.direction > 0 else "faster"
        if again.processes < fewest:
            why = f"{word} by {again.processes} fresh processes, {fewest} are needed to call it so"
            return replace(figures, word="noisy", reason=why)
        if word == "faster":
            notes.append("accept it lest a later slowdown hides behind it")
        return replace(figures, word=word, stage="confirmed", reason=", ".join(notes))


def why_noisy(found: Comparison) -> str:
    """Why a comparison that is contested, or too wide, says nothing."""
    if found.too_wide:
        return f"unchanged code may show {np.expm1(found.shown.bound):.1%}, more than twice the floor"
    if found.control_shift:
        return f"the control itself took {np.expm1(found.control_shift):+.1%}, and its ratio and the time disagree"
    if found.beyond_floor and not found.contested:
        return f"beyond the floor, but unchanged code may show {np.expm1(found.shown.bound):.1%}"
    return "the rounds of this process spread too far to say which way it moved"
