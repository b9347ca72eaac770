"""Which values of axes can stand in a row, alone and beside each other, where only whole rows can be asked about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from pytest_attn.problem.turns import NO_ROW

Row = tuple[int, ...]
"""For each axis the number of a value of it."""

DRAWN, STARTS = 120, 3
"""Rows that are drawn at random, and those of them, beside the plainest, from which an allowed one is searched."""


class Feasible:
    """The values of axes, numbered one after another, and which of them allowed rows have.

    A row that is not allowed is changed one value at a time, each time to the row that misses least; where that ends
    before nothing is missed, no row is taken to exist.
    """

    def __init__(self, sizes: Sequence[int], misses: Callable[[Row], int]) -> None:
        self.sizes = tuple(sizes)
        self.start: NDArray[np.int_] = np.cumsum([0, *sizes[:-1]])
        self.axis = np.repeat(np.arange(len(sizes)), sizes)
        self._misses = misses
        self.base: Row = (0,) * len(sizes)
        """An allowed row, where there is one."""
        self._known: dict[Row, int] = {}
        self._witness: dict[int, Row] = {}
        self.possible = np.zeros(len(self.axis), bool)
        self.together = np.zeros((len(self.axis), len(self.axis)), bool)
        if all(sizes):
            self._find_values()
            self._find_pairs()

    def misses(self, row: Row) -> int:
        """In how many ways a row is not allowed."""
        if row not in self._known:
            self._known[row] = self._misses(row)
        return self._known[row]

    def values_of(self, row: Row) -> NDArray[np.int_]:
        """The values of a row, numbered over all axes."""
        return self.start + np.asarray(row, dtype=np.int_)

    def row_of(self, values: Collection[int] | NDArray[np.int_]) -> Row:
        """The row of a value for each axis."""
        row = [0] * len(self.sizes)
        for value in values:
            axis = int(self.axis[value])
            row[axis] = int(value - self.start[axis])
        return tuple(row)

    def row_with(self, values: Sequence[int]) -> Row:
        """The row in which the first value stood first, with these values."""
        row = self._witness[values[0]] if values else self.base
        for value in values:
            row = self._changed(row, value)
        return row

    def settled(self, row: Row, fixed: Collection[int], offered: NDArray[np.bool_] | None = None) -> Row | None:
        """An allowed row that is reached from one by values that are offered, without a change of the fixed axes; None
        where none is."""
        missed = self.misses(row)
        values = range(len(self.axis)) if offered is None else np.flatnonzero(offered).tolist()
        free = [value for value in values if self.axis[value] not in fixed]
        while missed:
            nearest, least = self._nearest(row, free)
            if least >= missed:
                return None
            row, missed = nearest, least
        return row

    def _nearest(self, row: Row, values: Iterable[int]) -> tuple[Row, int]:
        """Of a row and those that one of some values makes of it, the first that misses least, and what it misses."""
        nearest, least = row, self.misses(row)
        for value in values:
            changed = self._changed(row, value)
            if (missed := self.misses(changed)) < least:
                nearest, least = changed, missed
            if not least:
                break
        return nearest, least

    def _changed(self, row: Row, value: int) -> Row:
        axis = int(self.axis[value])
        return (*row[:axis], int(value - self.start[axis]), *row[axis + 1 :])

    def _find_values(self) -> None:
        base = next((row for start in self._starts({}) if (row := self.settled(start, ())) is not None), None)
        if base is None:
            return
        self.base = base
        for value in range(len(self.axis)):
            found = self._row_of({int(self.axis[value]): value}, (base, *[*self._witness.values()][-1:]))
            if found is not None:
                self._witness[value] = found
                self.possible[value] = True

    def _find_pairs(self) -> None:
        for one, other in combinations(self._witness, 2):
            if self.axis[one] != self.axis[other]:
                fixed = {int(self.axis[one]): one, int(self.axis[other]): other}
                rows = (self._witness[one], self._witness[other])
                together = self._row_of(fixed, rows) is not None
                self.together[one, other] = self.together[other, one] = together

    def _row_of(self, fixed: Mapping[int, int], rows: Sequence[Row]) -> Row | None:
        """An allowed row with the fixed values, by axis: one of some rows but for them, or reached from one."""
        changed = [self._with(row, fixed) for row in rows]
        if (found := next((row for row in changed if not self.misses(row)), None)) is not None:
            return found
        if any(self.misses(row) >= NO_ROW for row in changed):
            changed += self._starts(fixed)
        return next((found for row in changed if (found := self.settled(row, fixed)) is not None), None)

    def _starts(self, fixed: Mapping[int, int]) -> list[Row]:
        """The plainest row and some others that stand for something, whether they are allowed or not."""
        rows = (self._with(row, fixed) for row in ((0,) * len(self.sizes), *self._rows_drawn))
        return [*islice((row for row in rows if self.misses(row) < NO_ROW), STARTS)]

    @cached_property
    def _rows_drawn(self) -> tuple[Row, ...]:
        random = np.random.default_rng(0)
        return tuple(tuple(random.integers(self.sizes).tolist()) for _ in range(DRAWN))

    def _with(self, row: Row, fixed: Mapping[int, int]) -> Row:
        for value in fixed.values():
            row = self._changed(row, value)
        return row
