"""The flat tolerances of published suites, for comparison with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_attn.wording import closest

if TYPE_CHECKING:  # the names are needed where torch is not imported
    from pytest_attn.problem.problem import Problem

DERIVED = "derived"
"""The name of the budget that is derived per element; the default."""


@dataclass(frozen=True, slots=True)
class Flat:
    """|error| <= atol + rtol |reference|, for the output and for the LSE."""

    out: tuple[float, float]
    lse: tuple[float, float]


def _bsa(problem: Problem) -> Flat:
    """The published BSA suite, (rtol, atol); one call that returns both is judged more tightly on the LSE."""
    half = str(problem.dtype) == "torch.float16"
    if problem.ask == "both":
        return Flat(out=(0.01, 0.01 if half else 0.001), lse=(0.001, 5e-3 if half else 1e-5))
    return Flat(out=(0.01, 0.001), lse=(0.001, 0.01))


TOLERANCES = {"bsa": _bsa}
"""Named flat tolerances: the problem's dtype and what is asked choose the numbers."""


def tolerance_names() -> tuple[str, ...]:
    """What `--attn-tolerance` takes."""
    return (DERIVED, *TOLERANCES)


def refuse_unknown_tolerance(name: str) -> None:
    """Raises ValueError naming the closest tolerances."""
    if name not in tolerance_names():
        raise ValueError(f"unknown tolerance {name!r}; allowed: {closest(name, tolerance_names())}")
