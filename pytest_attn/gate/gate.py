"""The gate: which decisions, and which facts about a run as a whole, make it fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pytest_attn.records.decision import Decision, Word
from pytest_attn.records.document import Document

Mode = Literal["report", "strict"]

FAILING: frozenset[Word] = frozenset({"slower", "gone", "inconclusive", "foreign", "suspicious"})
"""Words that a strict gate fails on unless the decision is tolerated; `new` and `faster` ask for an accept and pass."""

WORDS: tuple[Word, ...] = ("slower", "suspicious", "gone", "foreign", "inconclusive", "faster", "new", "same")
"""Worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a gate must know of a run beside its times."""

    collected: int
    """Latency tests that were asked for."""

    measured: int
    skipped: int = 0
    failed: int = 0
    """Tests that failed for another reason than speed; a kernel that is wrong has no time."""

    disabled: bool = False
    """`--benchmark-disable` or `--benchmark-skip`."""

    baseline: bool = True
    """Whether there is a baseline of this machine."""

    fault: str = ""
    """Why it cannot be read, where it is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the gate says of one run."""

    mode: Mode
    decisions: tuple[Decision, ...]
    run_failures: tuple[str, ...]
    """Sentences about the run as a whole; of these any fails a strict gate."""

    @classmethod
    def of(cls, mode: Mode, decisions: Sequence[Decision], facts: RunFacts) -> Gate:
        """The gate over a run, worst decisions first."""
        if mode not in ("report", "strict"):
            raise ValueError(f"gate: unknown mode {mode!r}; allowed: report, strict")
        return cls(mode=mode, decisions=worst_first(decisions), run_failures=run_failures(facts))

    @property
    def failing(self) -> tuple[Decision, ...]:
        """The decisions that fail their own test; none under `report`."""
        if self.mode == "report":
            return ()
        return tuple(each for each in self.decisions if each.word in FAILING and not each.tolerated)

    @property
    def passed(self) -> bool:
        """Whether the run is green as far as the gate goes; under `report` it always is."""
        return self.mode == "report" or not (self.failing or self.run_failures)

    @property
    def claim(self) -> str:
        """One line: how many of which word, worst first, and what the run as a whole failed on."""
        return " | ".join(filter(None, [self.undecided, *self.counts, *self.run_failures])) or "nothing was compared"

    @property
    def undecided(self) -> str:
        """One sentence where not one benchmark was decided; empty where any was, or there is none."""
        found = [decision for decision in self.decisions if decision.word == "inconclusive"]
        if not found or len(found) < len(self.decisions):
            return ""
        all_of_them = "the one benchmark is" if len(found) == 1 else f"all {len(found)} benchmarks are"
        return f"no speed was decided: {all_of_them} inconclusive"

    @property
    def counts(self) -> tuple[str, ...]:
        """How many benchmarks became what, worst first."""
        count = Counter(decision.word for decision in self.decisions)
        return tuple(f"{word} {count[word]}" for word in WORDS if count[word])


def gate_of(document: Document) -> Gate | None:
    """What the gate said of a run, as its document holds it; None where speed was not compared.

    Raises ValueError, one sentence, for a mode that is none.
    """
    end = document.end
    if end is None or not end.gate:
        return None
    if end.gate not in get_args(Mode):
        raise ValueError(f"{document.source}: unknown mode {end.gate!r}; allowed: {', '.join(get_args(Mode))}")
    mode: Mode = end.gate  # type: ignore[assignment]  # one of them
    return Gate(mode=mode, decisions=worst_first(document.decisions), run_failures=end.gate_faults)


def worst_first(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """By word, then by ratio."""
    return tuple(sorted(decisions, key=lambda each: (WORDS.index(each.word), -(each.ratio or 0.0))))


def run_failures(facts: RunFacts) -> tuple[str, ...]:
    """What is wrong with a run as a whole, a sentence each; empty where nothing is."""
    found = []
    if facts.disabled:
        found.append("nothing was timed: --benchmark-disable or --benchmark-skip was given")
    elif not facts.collected:
        found.append("nothing was timed: no latency test was collected")
    elif not facts.measured and facts.skipped == facts.collected:
        found.append(f"nothing was timed: all {facts.collected} latency tests were skipped")
    elif not facts.measured:
        found.append(f"nothing was timed, of {facts.collected} latency tests")
    if facts.fault:
        found.append(f"nothing was compared: {facts.fault}")
    elif not facts.baseline:
        found.append("no baseline of this machine; `python -m pytest_attn baseline record` makes one")
    return tuple(found)
