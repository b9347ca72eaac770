"""What a kernel does not claim of cases, before any of them is run: cells are drawn by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_attn.checks.registry import check_of
from pytest_attn.kernels.capabilities import SIZES, Capabilities
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """How many needs of a case, by any problem that its check runs, a kernel does not claim or refuses.

    Devices do not count: what a kernel claims elsewhere is drawn, and is `not here`. Raises RefusalError where a
    refusal says neither yes nor no.
    """

    capabilities: Capabilities

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The sizes that the kernel claims by name."""
        return {name: getattr(self.capabilities, name) or () for name in SIZES.values()}

    def __call__(self, case: Case) -> int:
        claims = self.capabilities
        return sum(claims.missed(problem, case.layout) for problem in check_of(case.oracle).problems(Problem.of(case)))
