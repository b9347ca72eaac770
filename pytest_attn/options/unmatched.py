"""Values of axes that no cell has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep, is_drawn, outline

if TYPE_CHECKING:
    from pytest_attn.options.options import Options


def refuse_unmatched(options: Options) -> None:
    """Raises ValueError where no cell of the sweeps that run has the values that the axes name."""
    if not options.axis:
        return
    for axis in options.axis:
        axis.refuse_unknown_values(_likely_first(options.sweeps))
    if options.case:
        raise ValueError("does not combine with --attn-case; allowed: one of the two")
    # Which values of a drawn sweep occur together is for its kernel to say, when the cells are drawn.
    drawn = any(is_drawn(name) for name in options.sweeps)
    if not drawn and not any(options.keeps(name, case) for name in options.sweeps for case in find_sweep(name)):
        raise ValueError("no cell has all of these values; allowed: values that occur together")


def _likely_first(sweeps: Sequence[str]) -> Iterator[Case]:
    """The cases of sweeps, those before them that tell most values without drawing anything."""
    for cases in (outline, find_sweep):
        for name in sorted(sweeps, key=is_drawn):
            yield from cases(name)
