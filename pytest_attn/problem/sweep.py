"""A sweep: a named table of cases, grouped by the test that judges them. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from pytest_attn.problem.case import Case
from pytest_attn.text import closest

Groups = Mapping[str, tuple[Case, ...]]
"""The cases of each test, keyed by the test's name without `test_`."""


@dataclass(frozen=True)
class Sweep:
    """A table of cases. Ids are unique within a sweep."""

    name: str
    title: str
    groups: Groups

    def __iter__(self) -> Iterator[Case]:
        return (case for cases in self.groups.values() for case in cases)

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))


_BUILDERS: dict[str, tuple[str, Callable[[], Groups]]] = {}


def register(name: str, title: str) -> Callable[[Callable[[], Groups]], Callable[[], Groups]]:
    """Register a function that builds the groups of the sweep `name`; it runs when the sweep is first asked for."""

    def add(build: Callable[[], Groups]) -> Callable[[], Groups]:
        _BUILDERS[name] = (title, build)
        return build

    return add


def sweep_names() -> tuple[str, ...]:
    """The names of all sweeps, in the order of their registration."""
    import pytest_attn.problem.sweeps  # noqa: F401  (registers the built-in ones)

    return tuple(_BUILDERS)


@cache
def find_sweep(name: str) -> Sweep:
    """The sweep of that name. Raises ValueError naming the closest ones."""
    if name not in sweep_names():
        raise ValueError(f"unknown sweep {name!r}; allowed: {closest(name, sweep_names())}")
    title, build = _BUILDERS[name]
    return Sweep(name, title, build())
