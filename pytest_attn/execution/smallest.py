"""The smallest case that fails as a failed cell does: for which cells it is looked for, how long, and what counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.execution.shrink import shrink
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.options.defaults import BRIEFLY, BRIEFLY_SHRUNK, SHRUNK_CELLS
from pytest_attn.problem.case import Case
from pytest_attn.problem.kinds import family_of

if TYPE_CHECKING:
    from pytest_attn.execution.cell import Cell
    from pytest_attn.execution.session import Session


def seconds_to_shrink(session: Session, spec: str, verdict: Verdict, found: Diagnosis | None) -> float:
    """How long a smaller case is looked for: as long as the user says, for the first failed cells; else briefly, for
    the first of each cause. Notes that this cell was the one."""
    if session.options.shrink is not None:
        session.shrunk += 1
        return session.options.shrink if session.shrunk <= SHRUNK_CELLS else 0.0
    cause = (spec, min(family_of(found.kind)) if found else verdict.findings[0].what)
    if cause in session.shrunk_causes or len(session.shrunk_causes) == BRIEFLY_SHRUNK:
        return 0.0
    session.shrunk_causes.add(cause)
    return BRIEFLY


def smallest_failing(
    case: Case, cell_of: Callable[[Case], Cell], verdict: Verdict, found: Diagnosis | None, seconds: float
) -> str:
    """The id of the smallest case found in so many seconds that is red by a finding of the same kind, and for the same
    bug as far as that can be told; that of the case itself where it is another bug's."""
    kinds = {finding.what for finding in verdict.findings}

    def fails(smaller: Case) -> bool:
        cell = cell_of(smaller)
        try:
            return cell.skipped() is None and any(finding.what in kinds for finding in cell.judge().findings)
        except Exception:
            # An oracle may refuse a case that no sweep has; the verdict on the cell itself must not be lost to that.
            return False

    smallest = shrink(case, fails, seconds)
    if found is not None and smallest != case:
        cell = cell_of(smallest)
        other = cell.diagnosed(cell.judge(), TimeBox())
        if other is not None and other.kind not in family_of(found.kind):
            return case.id
    return smallest.id
