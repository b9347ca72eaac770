"""Covering arrays: rows of values in which all pairs or triples of values occur that can, and each value equally often.

The method is the greedy one of AETG (Cohen, Dalal, Fredman, Patton 1997), row by row; what is allowed is a function of
a whole row, not a list of forbidden tuples, since it is for a kernel to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pytest_attn.problem.feasible import Feasible, Row

TRIES = 4
"""Rows that are filled at random around a tuple, before a search shows whether any row has it."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What rows have to cover: this share of the tuples of values that rows can have; of those without a value of an
    axis, or of those with one, where it is given."""

    strength: Literal[2, 3] = 2
    share: float = 1.0
    without: int | None = None
    beside: int | None = None


class CoveringArray:
    """Rows that grow until goals are met. `misses` says of a row, a value for each axis, in how many ways it is not
    allowed; 0 where it is. Values that are not `offered` stand only in rows that are asked for with them."""

    def __init__(
        self,
        sizes: Sequence[int],
        misses: Callable[[Row], int],
        strength: Literal[2, 3] = 2,
        offered: Sequence[Sequence[bool]] | None = None,
    ) -> None:
        self._space = Feasible(sizes, misses)
        self._offered = np.ones(sum(sizes), bool) if offered is None else np.concatenate(offered).astype(bool)
        self._random = np.random.default_rng(0)
        self._used = np.zeros(sum(sizes))
        self._open = {2: self._space.together.copy()}
        if strength == 3:
            self._open[3] = _triples(self._space.together)
        self._strength = strength
        self.rows: list[Row] = []

    def take(self, partial: Mapping[int, int]) -> None:
        """Count what values of some axes cover as covered: a row that stands elsewhere."""
        self._close(np.array([self._space.start[axis] + value for axis, value in partial.items()], dtype=int))

    def offer(self, own: Mapping[int, int]) -> None:
        """Offer every value of an axis of whose first ones, by their number, none is allowed."""
        for axis, count in own.items():
            start = int(self._space.start[axis])
            if not self._space.possible[start : start + count].any():
                self._offered |= self._space.axis == axis

    def takes(self, axis: int, value: int) -> bool:
        """Whether some allowed row has a value of an axis."""
        return bool(self._space.possible[self._space.start[axis] + value])

    def complete(self, partial: Mapping[int, int]) -> bool:
        """Add a row that has these values of some axes; False where none is allowed."""
        start = self._space.start
        if (row := self._row_with([int(start[axis]) + value for axis, value in partial.items()])) is None:
            return False
        self._add(row)
        return True

    def cover(self, goal: Goal) -> None:
        """Add rows until a goal is met."""
        targets = self._random.permutation(self._targets(goal))
        cube = self._open[goal.strength]
        flat, places = cube.reshape(-1), np.ravel_multi_index(tuple(targets.T), cube.shape)
        left, impossible = int(flat[places].sum()), 0
        for target, place in zip(targets.tolist(), places.tolist(), strict=True):
            if left <= (1.0 - goal.share) * (len(targets) - impossible):
                return
            if not flat[place]:
                continue
            if (row := self._row_with(target)) is not None:
                self._add(row)
            else:
                impossible += 1
                cube[tuple(zip(*permutations(target), strict=True))] = False
            left = int(flat[places].sum())

    def _targets(self, goal: Goal) -> NDArray[np.int_]:
        """Every tuple of a goal, each once, whose pairs go together."""
        space = self._space
        inside = self._offered & (space.axis != goal.without)
        allowed = np.triu(space.together) & inside[:, None] & inside
        found = np.argwhere(allowed if goal.strength == 2 else _triples(allowed))
        return found if goal.beside is None else found[(space.axis[found] == goal.beside).any(1)]

    def _row_with(self, values: Sequence[int]) -> Row | None:
        """An allowed row that has these values, and of the others those that cover most, rarest first."""
        space = self._space
        if (
            not space.possible.any()
            or not space.possible[[*values]].all()
            or not all(space.together[pair] for pair in combinations(values, 2))
        ):
            return None
        last = None
        for _ in range(TRIES):
            filled = self._filled(values)
            if filled is None:
                continue
            last = space.row_of(filled)
            if not space.misses(last):
                return last
        fixed = [int(space.axis[value]) for value in values]
        return space.settled(last if last is not None else space.row_with(values), fixed, self._offered)

    def _filled(self, values: Sequence[int]) -> NDArray[np.int_] | None:
        space = self._space
        chosen = [*values]
        others = [axis for axis in range(len(space.sizes)) if axis not in set(space.axis[chosen].tolist())]
        allowed = space.together[chosen].all(0) & space.possible & self._offered
        gain = self._gain(chosen)
        for axis in self._random.permutation(others).tolist():
            start = int(space.start[axis])
            candidates = start + allowed[start : start + space.sizes[axis]].nonzero()[0]
            if not len(candidates):
                return None
            rarity = self._used[candidates] / (len(self.rows) + 1.0)
            best = int(candidates[(gain[candidates] - rarity + self._random.random(len(candidates)) * 0.5).argmax()])
            gain = self._gain([*chosen, best]) if len(chosen) < 2 else gain + self._gained(chosen, best)
            chosen.append(best)
            allowed &= space.together[best]
        return np.array(chosen)

    def _gain(self, chosen: Sequence[int]) -> NDArray[np.int_]:
        """How many open tuples each value has with one value that is chosen, or with each two where there are two."""
        if self._strength == 2 or len(chosen) < 2:
            return np.asarray(self._open[2][chosen].sum(0))
        one, other = zip(*combinations(chosen, 2), strict=True)
        return np.asarray(self._open[3][one, other].sum(0))

    def _gained(self, chosen: Sequence[int], best: int) -> NDArray[np.int_]:
        """By how much that grows with a further value."""
        return np.asarray(
            self._open[3][chosen, best].sum(0) if self._strength == 3 else self._open[2][best].astype(int)
        )

    def _add(self, row: Row) -> None:
        values = self._space.values_of(row)
        self._close(values)
        self._used[values] += 1
        self.rows.append(row)

    def _close(self, values: NDArray[np.int_]) -> None:
        """What these values cover is no longer open."""
        for cube in self._open.values():
            cube[np.ix_(*[values] * cube.ndim)] = False


def _triples(together: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The triples of values each two of which go together."""
    return together[:, :, None] & together[:, None, :] & together[None, :, :]
