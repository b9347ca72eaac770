"""A sweep: named groups of cases, one for each test that judges them. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Design, Part
from pytest_attn.problem.turns import Misses
from pytest_attn.text import closest

Groups = Mapping[str, tuple[Case | Design | Part, ...]]
"""What the cases of each test are, or are drawn from, keyed by the test's name without `test_`."""


@dataclass(frozen=True)
class Sweep:
    """The cases of a sweep for one kernel, or for one that claims everything. Ids are unique within a sweep."""

    name: str
    title: str
    groups: Mapping[str, tuple[Case, ...]]
    """The cases of each test."""

    published: bool = False
    """Whether others published the table: its cases are judged as they stand, or not at all."""

    def __iter__(self) -> Iterator[Case]:
        return (case for cases in self.groups.values() for case in cases)

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))

    def claimed(self, misses: Misses) -> Mapping[str, tuple[Case, ...]]:
        """Of each test the cases that exist and that a kernel claims; its tables hold others as well."""
        return {
            group: tuple(case for case in cases if not case.unsatisfiable and not misses(case))
            for group, cases in self.groups.items()
        }

    def without_lse(self, case: Case) -> Case | None:
        """The case that is judged in the place of one that asks for a log-sum-exp, under a kernel that gives none: the
        same, asked for the output alone. None where there is none, or another case has it already."""
        return self._outputs.get(case)

    @cached_property
    def _outputs(self) -> Mapping[Case, Case]:
        taken, found = set(self), dict[Case, Case]()
        for case in () if self.published else self:
            output = _output_alone(case) if case.ask in ("both", "lse") else None
            if output is not None and output not in taken:
                taken.add(output)
                found[case] = output
        return found


def _output_alone(case: Case) -> Case | None:
    try:
        return replace(case, ask="out")
    except ValueError:  # splits are merged, and keys split, through their log-sum-exp
        return None


@dataclass(frozen=True, slots=True)
class _Registered:
    title: str
    published: bool
    build: Callable[[], Groups]


_REGISTERED: dict[str, _Registered] = {}


def register(
    name: str, title: str, *, published: bool = False
) -> Callable[[Callable[[], Groups]], Callable[[], Groups]]:
    """Register a function that builds the groups of the sweep `name`; it runs when the sweep is first asked for."""

    def add(build: Callable[[], Groups]) -> Callable[[], Groups]:
        _REGISTERED[name] = _Registered(title, published, cache(build))
        return build

    return add


def sweep_names() -> tuple[str, ...]:
    """The names of all sweeps, in the order of their registration."""
    import pytest_attn.problem.sweeps  # noqa: F401  (registers the built-in ones)

    return tuple(_REGISTERED)


def refuse_unknown_sweep(name: str) -> None:
    """Raises ValueError naming the closest sweeps where there is none of that name."""
    if name not in sweep_names():
        raise ValueError(f"unknown sweep {name!r}; allowed: {closest(name, sweep_names())}")


def is_drawn(name: str) -> bool:
    """Whether the cells of a sweep depend on what a kernel claims. Raises ValueError naming the closest sweeps."""
    refuse_unknown_sweep(name)
    return _draws(_REGISTERED[name].build)


@cache
def _draws(build: Callable[[], Groups]) -> bool:
    return any(not isinstance(part, Case) for part in chain.from_iterable(build().values()))


def home_of(name: str) -> str:
    """The module that registered a sweep. Raises ValueError naming the closest sweeps."""
    refuse_unknown_sweep(name)
    return _REGISTERED[name].build.__module__


def sketch(name: str) -> tuple[str, tuple[str, ...]]:
    """(title, names of the groups) of a sweep, without its cells. Raises ValueError naming the closest sweeps."""
    refuse_unknown_sweep(name)
    return _REGISTERED[name].title, tuple(_REGISTERED[name].build())


def outline(name: str) -> Iterator[Case]:
    """Cases that have what those of a sweep have on each axis, or nearly all of it; nothing is drawn. Raises ValueError
    naming the closest sweeps."""
    refuse_unknown_sweep(name)
    for part in chain.from_iterable(_REGISTERED[name].build().values()):
        yield from (part,) if isinstance(part, Case) else part.outline()


@cache
def find_sweep(name: str, misses: Misses | None = None) -> Sweep:
    """The sweep of that name, its cells drawn for a kernel; without one, for a kernel that claims everything.

    Cases of tables stand in it whether they are claimed or not. Raises ValueError naming the closest sweeps.
    """
    refuse_unknown_sweep(name)
    found = _REGISTERED[name]
    cells: dict[Case, str] = {}
    for group, parts in found.build().items():
        for part in parts:
            for case in (part,) if isinstance(part, Case) else part.cases(misses):
                cells.setdefault(case, group)
    groups = {group: tuple(case for case, own in cells.items() if own == group) for group in found.build()}
    return Sweep(name, found.title, groups, found.published)
