"""Bugs of a kernel that were named before: what fails alike is explained by the same hypothesis, tried first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence

Hypothesis = Callable[[Evidence], Diagnosis | None]
"""Names the bug where one kind of bug accounts for the whole error; None where it does not."""


@dataclass(eq=False)
class Known:
    """The hypotheses that explained earlier failures of one kernel, the latest first.

    Each explains a cell by runs on that cell or not at all, so that a second bug is never taken for the first. Those of
    `general` explain what a more specific one would, too, and keep their place.
    """

    general: frozenset[Hypothesis] = frozenset()
    _named: list[Hypothesis] = field(default_factory=list)

    def first(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        """The hypotheses, those that are known before the others."""
        known = [hypothesis for hypothesis in self._named if hypothesis in hypotheses]
        return [*known, *(hypothesis for hypothesis in hypotheses if hypothesis not in known)]

    def add(self, hypothesis: Hypothesis) -> None:
        """Note that a hypothesis named a bug."""
        if hypothesis not in self.general:
            self._named = [hypothesis, *(other for other in self._named if other is not hypothesis)]
