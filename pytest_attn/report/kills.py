"""Which test kills which mutant, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kill:
    """A cell that kills a mutant: its case id, and which statistic or fact was wrong there."""

    case: str
    finding: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one mutant.

    `kills` holds, for each test that kills it, the first cell that does, cheapest first; `regular` the same for each
    tolerance on regular cells. `equivalent` is why no cell can kill it, else empty; `diagnosis` the kind of bug that
    was recognised, where that was asked for, and `unnamed` those of the cells that kill it of which nothing was said.
    `reached` is False where no cell takes a step in which it differs from
    the correct kernel: nothing is known of it then.
    """

    mutant: str
    planted: str
    bug: str
    equivalent: str = ""
    kills: Mapping[str, Kill] = field(default_factory=dict)
    regular: Mapping[str, Kill] = field(default_factory=dict)
    diagnosis: str = ""
    reached: bool = True
    unnamed: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """The ids of the cells that kill it, one of each test."""
        return tuple(dict.fromkeys(kill.case for kill in self.kills.values()))

    @property
    def expected(self) -> bool:
        """Whether it died, or lives and is equivalent or was not reached."""
        return not self.reached or bool(self.kills) != bool(self.equivalent)


@dataclass(frozen=True, slots=True)
class KillMatrix:
    """The fates of mutants under the tests of some sweeps.

    `tests` counts the cells of each test, `regular` those on which the `tolerances` are compared. `unfit` are cells on
    which the correct kernel fails, as (test or tolerance, case id): they count for nobody.
    """

    fates: tuple[Fate, ...]
    tests: Mapping[str, int]
    tolerances: tuple[str, ...] = ()
    regular: int = 0
    unfit: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    @property
    def real(self) -> tuple[Fate, ...]:
        """The mutants that some cell must kill."""
        return tuple(fate for fate in self.fates if fate.reached and not fate.equivalent)

    @property
    def unreached(self) -> tuple[Fate, ...]:
        """The mutants whose step no cell takes, as those of a backward pass where no gradients are asked for."""
        return tuple(fate for fate in self.fates if not fate.reached and not fate.equivalent)

    @property
    def unexpected(self) -> tuple[Fate, ...]:
        """Mutants that survive though they are not equivalent, and equivalent ones that were killed."""
        return tuple(fate for fate in self.fates if not fate.expected)
