"""What the judge says of one output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pytest_attn.judge.verdict.finding import Finding


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of one output. No findings = right.

    `figures` are the statistics by name; a statistic with a limit is stated as its largest share of that limit, so that
    1 is the edge and a correct kernel stays below.
    """

    findings: tuple[Finding, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the output is right: there is no finding."""
        return not self.findings

    @property
    def summary(self) -> str:
        """The phrases of all findings in one line for a person, each once; "right" where there are none."""
        return "; ".join(dict.fromkeys(finding.phrase for finding in self.findings)) or "right"

    def of(self, part: str) -> Verdict:
        """The same verdict, its findings said of a part of the case: a call, a split, a relation."""
        return replace(self, findings=tuple(finding.of(part) for finding in self.findings))

    @staticmethod
    def first_wrong(verdicts: Iterable[Verdict]) -> Verdict:
        """The first that is wrong; where none is, a right one with the largest figures of all."""
        figures: dict[str, float] = {}
        for verdict in verdicts:
            if not verdict.passed:
                return verdict
            figures = {
                **figures,
                **{name: max(size, figures.get(name, size)) for name, size in verdict.figures.items()},
            }
        return Verdict((), figures)
