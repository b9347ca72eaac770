"""A design: axes, what is allowed of them, and what must be covered; the cells of a sweep are drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any, Literal

from pytest_attn.problem.case import Case
from pytest_attn.problem.turns import InTurn, Misses, Sizes, Turns

Axes = Mapping[str, Sequence[Any]]
"""The values of each axis."""

Row = Mapping[str, Any]
"""A value for some axes."""


@dataclass(frozen=True, slots=True)
class Covered:
    """That this share of the pairs or triples of values occurs, of those without an axis, or those with it; all pairs
    always do."""

    strength: Literal[2, 3]
    share: float = 1.0
    without: str = ""
    beside: str = ""


@dataclass(frozen=True, eq=False)
class Design:
    """Cells to be drawn.

    `build` makes a case of a value for each axis, None where there is no such case. First every one of `rows` is
    completed that can be; then rows are added until what `covers` asks for is covered. What is left open goes to the
    values that stood least often so far. What the cells of `beside` cover need not be covered again. With these there
    are `fewest` cells at least, where so many differ. `of_sizes` are further values of axes for sizes that a kernel
    claims by name, and `instead` those that stand where a kernel takes no other value of an axis.
    """

    axes: Axes
    build: Callable[..., Case | None]
    covers: tuple[Covered, ...] = (Covered(2),)
    rows: tuple[Row, ...] = ()
    beside: Design | None = None
    fewest: int = 0
    of_sizes: Callable[[Sizes], Axes] = lambda sizes: {}
    instead: Axes = field(default_factory=dict)

    def cases(self, misses: Misses | None = None) -> tuple[Case, ...]:
        """The cells for a kernel; without one, for a kernel that claims everything. The same each time."""
        return _drawn(self, misses).cases

    def outline(self) -> Iterator[Case]:
        """A case of every value of each axis that some row of at most one further change has, all else being plain, at
        little cost: what is drawn has no other values where each axis has fields of its own."""
        axes = {
            name: [value.values if isinstance(value, InTurn) else (value,) for value in own]
            for name, own in _values_of(self.axes, self.rows, self.instead).items()
        }
        plain = {name: own[0][0] for name, own in axes.items()}
        changes: list[Row] = [{}, *({name: several[0]} for name, own in axes.items() for several in own)]
        for name, own in axes.items():
            for value in chain(*own):
                for place, change in enumerate(changes):
                    if (case := self.build(**{**plain, **change, name: value})) is not None:
                        yield case
                        # What one value needed, the next is likely to need.
                        changes.insert(0, changes.pop(place))
                        break


@dataclass(frozen=True, eq=False)
class Part:
    """Those cells of a design that belong to one test."""

    design: Design
    keeps: Callable[[Case], bool]

    def cases(self, misses: Misses | None = None) -> tuple[Case, ...]:
        """See `Design.cases`."""
        return tuple(case for case in self.design.cases(misses) if self.keeps(case))

    def outline(self) -> Iterator[Case]:
        """See `Design.outline`."""
        return (case for case in self.design.outline() if self.keeps(case))


@dataclass(frozen=True, slots=True)
class _Drawn:
    cases: tuple[Case, ...]
    rows: tuple[Row, ...]


@cache
def _drawn(design: Design, misses: Misses | None) -> _Drawn:
    from pytest_attn.problem.covering import CoveringArray, Goal  # numpy is imported where cells are drawn

    axes = _axes_of(design, misses.sizes if misses else {})
    values = _values_of(axes, design.rows, design.instead)
    if empty := [name for name, own in values.items() if not own]:
        raise ValueError(f"design: {' and '.join(empty)} without a value; allowed: one value of each axis, or more")
    names = [*values]
    turns = Turns(design.build, values, misses or _takes_all)
    strength: Literal[2, 3] = 3 if any(covered.strength == 3 for covered in design.covers) else 2
    array = CoveringArray([len(each) for each in values.values()], turns.misses, strength, _offered(axes, values))
    array.offer({names.index(name): len(axes[name]) for name in design.instead if name in axes})
    elsewhere = _drawn(design.beside, misses).rows if design.beside else ()
    for row in elsewhere:
        array.take({names.index(name): values[name].index(row[name]) for name in row if row[name] in values[name]})
    for row in design.rows:
        numbers = {names.index(name): values[name].index(value) for name, value in row.items()}
        # What of an axis a kernel does not take, its other values stand for.
        free = {axis for axis, value in numbers.items() if names[axis] in axes and not array.takes(axis, value)}
        array.complete({axis: value for axis, value in numbers.items() if axis not in free})
    for covered in (*design.covers, Covered(2)) if design.covers else ():
        without, beside = (names.index(name) if name in names else None for name in (covered.without, covered.beside))
        array.cover(Goal(covered.strength, covered.share, without, beside))
    while len(array.rows) + len(elsewhere) < design.fewest and array.complete({}):
        pass
    rows = tuple({name: values[name][value] for name, value in zip(names, row, strict=True)} for row in array.rows)
    return _Drawn(tuple(dict.fromkeys(turns.taken(row) for row in array.rows)), rows)


def _axes_of(design: Design, sizes: Sizes) -> Axes:
    more = design.of_sizes(sizes)
    return {name: (*values, *more.get(name, ())) for name, values in design.axes.items()}


def _values_of(axes: Axes, rows: Sequence[Row], instead: Axes) -> dict[str, tuple[Any, ...]]:
    """The values of each axis, then those instead, then those that only rows have."""
    found: dict[str, list[Any]] = {name: [] for row in (axes, *rows) for name in row}
    own = [(name, values) for name, values in instead.items() if name in axes]
    every = [*axes.items(), *own, *((name, (value,)) for row in rows for name, value in row.items())]
    for name, values in every:
        found[name] += (value for value in values if value not in found[name])
    return {name: tuple(values) for name, values in found.items()}


def _offered(axes: Axes, values: Mapping[str, Sequence[Any]]) -> list[list[bool]]:
    """Which values of each axis stand where no row asks for them."""
    return [[value in axes.get(name, own) for value in own] for name, own in values.items()]


def _takes_all(case: Case) -> int:
    return 0
