"""A sweep: a named table of cases, grouped by the test that judges them. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

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
    published: bool = False
    """Whether others published the table: its cases are judged as they stand, or not at all."""

    def __iter__(self) -> Iterator[Case]:
        return (case for cases in self.groups.values() for case in cases)

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))

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


_BUILDERS: dict[str, tuple[Callable[[Groups], Sweep], Callable[[], Groups]]] = {}


def register(
    name: str, title: str, *, published: bool = False
) -> Callable[[Callable[[], Groups]], Callable[[], Groups]]:
    """Register a function that builds the groups of the sweep `name`; it runs when the sweep is first asked for."""

    def add(build: Callable[[], Groups]) -> Callable[[], Groups]:
        _BUILDERS[name] = (lambda groups: Sweep(name, title, groups, published), build)
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
    sweep_of, build = _BUILDERS[name]
    return sweep_of(build())
