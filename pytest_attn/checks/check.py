"""What a check is: how a kernel is tried on a case, and on which problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pytest_attn.checks.subject import Subject
from pytest_attn.checks.value import value
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True)
class Check:
    """How a kernel is tried on a case: `judge` gives the verdict, `problems` everything that it will run.

    A kernel that does not claim one of the problems is not judged on the case.
    """

    judge: Callable[[Subject], Verdict]
    problems: Callable[[Problem], Iterable[Problem]] = lambda problem: (problem,)


def also(relation: Callable[[Subject], Iterable[Verdict]]) -> Callable[[Subject], Verdict]:
    """The verdict on one run, and where that is right, on what relates further runs to it: results can be wrong and in
    their relation right."""

    def verdicts(subject: Subject) -> Iterator[Verdict]:
        half = subject.sharing(2)
        yield value(half)
        yield from relation(half)

    return lambda subject: Verdict.first_wrong(verdicts(subject))


VALUE = Check(value)
"""One run, compared with a reference."""
