"""One case for many kernels: its problem is made once, and equal results are judged once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from pytest_attn.checks.bits import bits
from pytest_attn.checks.subject import Subject
from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop, tile_loop

Known = dict[tuple[Any, ...], Verdict]
"""Verdicts by problem, inputs, tolerance and the bits of the result."""


@dataclass(frozen=True, eq=False)
class JudgedOnce(Subject):
    """A subject that does not judge a result again that has the bits of one judged before."""

    known: Known = field(default_factory=dict)

    def compare(self, problem: Problem, inputs: Inputs, result: Output | Finding) -> Verdict:
        """See `Subject.compare`."""
        if isinstance(result, Finding):
            return super().compare(problem, inputs, result)
        key = (problem, inputs.key_of_content, self.tolerance, _bits(result, problem))
        if key not in self.known:
            self.known[key] = super().compare(problem, inputs, result)
        return self.known[key]


def _bits(result: Output, problem: Problem) -> tuple[bytes, ...]:
    asked = (result.out if problem.wants_out else None, result.lse, *(result.grads or ()))
    tensors = (tensor.detach().contiguous() for tensor in asked if tensor is not None)
    return tuple(bits(tensor).numpy(force=True).tobytes() for tensor in tensors)


@dataclass(frozen=True, eq=False)
class Shared:
    """What the cells of one case have in common."""

    problem: Problem
    budgets: dict[tuple[Problem, str, Numerics], Budget] = field(default_factory=dict)
    known: Known = field(default_factory=dict)


class SharedCell(Cell):
    """A cell that shares problem, budgets and verdicts with the cells of other kernels on the same case.

    The kernels have the same numerics and the same convention for rows without keys.
    """

    def __init__(self, session: Session, kernel: Kernel, case: Case, shared: Shared) -> None:
        super().__init__(session, kernel.name, kernel, case)
        self._problem = shared.problem
        self._shared = shared

    @property
    def subject(self) -> Subject:
        """See `Cell.subject`."""
        plain = super().subject
        of_kernel = {item.name: getattr(plain, item.name) for item in fields(plain)}
        return JudgedOnce(**{**of_kernel, "budgets": self._shared.budgets, "known": self._shared.known})

    def verdicts(self, tolerances: Sequence[str]) -> dict[str, Verdict]:
        """The verdict under each tolerance, of one run where there are several; none where the cell does not run."""
        if self.skipped():
            return {}
        if list(tolerances) == [DERIVED]:
            return {DERIVED: self.judge()}
        subject = self.subject
        problem, inputs = subject.problem, subject.inputs
        result = subject.run(problem, inputs)
        return {name: replace(subject, tolerance=name).compare(problem, inputs, result) for name in tolerances}


class Clean(NamedTuple):
    """The clean loop on a case: whether it is right under each tolerance, and the steps that it took."""

    right: Mapping[str, bool]
    steps: Set[str]


class CommonCell:
    """A case for the tile loop and its mutants, one fresh kernel after the other, under some tolerances."""

    def __init__(self, session: Session, case: Case, tolerances: Sequence[str]) -> None:
        self._session = session
        self._case = case
        self._tolerances = tolerances
        self._shared = Shared(Problem.of(case))
        self._clean: dict[type[TileLoop], Clean] = {}

    def verdicts(self, loop: type[TileLoop], tolerances: Sequence[str]) -> dict[str, Verdict]:
        """The verdict on a loop under each tolerance; none where it does not run."""
        return SharedCell(self._session, tile_loop(loop), self._case, self._shared).verdicts(tolerances)

    def clean(self, loop: type[TileLoop]) -> Clean:
        """A correct loop, run once; it is right under no tolerance where it does not run."""
        if loop not in self._clean:
            steps: set[str] = set()
            verdicts = self.verdicts(_noting(loop, steps), self._tolerances)
            self._clean[loop] = Clean({name: verdict.passed for name, verdict in verdicts.items()}, steps)
        return self._clean[loop]


def _noting(loop: type[TileLoop], steps: set[str]) -> type[TileLoop]:
    """A loop that notes every step that it takes."""

    def note(self: TileLoop, name: str) -> Any:
        steps.add(name)
        return loop.__getattribute__(self, name)

    return type(loop.__name__, (loop,), {"__getattribute__": note})
