"""What a kernel refuses within what it claims: reasons, each with the problems that it is true of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_attn.contained import Contained, said
from pytest_attn.problem.problem import Problem

Refuses = Mapping[str, Callable[[Problem], bool]]
"""By reason, whether a problem is refused for it."""


class DeclarationError(ValueError):
    """A function of a declaration that gives no answer for a problem, or none that is allowed."""


class RefusalError(DeclarationError):
    """A predicate that says neither yes nor no of a problem."""


def refused(refuses: Refuses, problem: Problem) -> str | None:
    """The first reason for which a problem is refused; None where it is not.

    Raises RefusalError, one sentence that names the reason, where its predicate raises or says neither True nor False.
    """
    return next((reason for reason in refuses if _applies(reason, refuses[reason], problem)), None)


def refusals(refuses: Refuses, problem: Problem) -> int:
    """How many reasons a problem is refused for. Raises RefusalError as `refused`."""
    return sum(_applies(reason, predicate, problem) for reason, predicate in refuses.items())


def declared_refusals(given: Any) -> Refuses:
    """A declaration as it is kept. Raises ValueError, one sentence that names what is wrong with it."""
    if not isinstance(given, Mapping):
        raise ValueError(f"kernel: refuses is {given!r}; allowed: a mapping from reasons to functions of the problem")
    for reason, predicate in given.items():
        if not isinstance(reason, str) or not reason.strip() or reason != " ".join(reason.split()):
            raise ValueError(f"kernel: refuses has the reason {reason!r}; allowed: a text of one line")
        if not callable(predicate):
            raise ValueError(f"kernel: refuses[{reason!r}] is {predicate!r}; allowed: a function of the problem")
    return dict(given)


def _applies(reason: str, predicate: Callable[[Problem], bool], problem: Problem) -> bool:
    allowed = "allowed: True or False, of every problem"
    try:
        # A predicate that skips the test or ends the process would hide the cell.
        with Contained():
            answer = predicate(problem)
    except Exception as error:
        raise RefusalError(f"refuses[{reason!r}] raised {said(error)}; {allowed}") from error
    if not isinstance(answer, bool):
        raise RefusalError(f"refuses[{reason!r}] is {answer!r:.60}; {allowed}")
    return answer
