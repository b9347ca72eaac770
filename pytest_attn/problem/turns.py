"""Values that an axis counts as one, and that stand in its cells in turn."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Protocol

from pytest_attn.problem.case import Case

Sizes = Mapping[str, tuple[int, ...]]
"""The sizes that a kernel claims by name, by `head_dims`, `key_heads` and `block_sizes`."""


class Misses(Protocol):
    """What a kernel does not claim. Hashable."""

    @property
    def sizes(self) -> Sizes:
        """The sizes that it claims by name."""

    def __hash__(self) -> int: ...

    def __call__(self, case: Case) -> int:
        """How many needs of a case it does not claim; 0 where it takes the case."""


NO_ROW = 1000
"""What a row misses at least of which no case can be made."""

TRIED = 8
"""Turns in which a row is tried before it is taken not to be allowed."""

MOST_TURNS = 64
"""Turns in which an allowed row is tried, that its values stand as equally as they can."""


@dataclass(frozen=True)
class InTurn:
    """Values of which one stands in each cell."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)


class Turns:
    """Cases of rows, each value of an axis by its number."""

    def __init__(
        self, build: Callable[..., Case | None], values: Mapping[str, Sequence[Any]], misses: Callable[[Case], int]
    ) -> None:
        self._build, self._names, self._misses = build, [*values], misses
        self._values: dict[str, Sequence[Any]] = dict(values)
        self._stood: Counter[tuple[str, int]] = Counter()
        # The turns of the axes come in no step with each other, or values would meet some of each other only.
        draw = random.Random(0)
        self._turns = [{name: draw.randrange(10**6) if turn else 0 for name in values} for turn in range(MOST_TURNS)]
        self._values = {name: tuple(self._claimed(name, value) for value in own) for name, own in values.items()}

    def misses(self, row: tuple[int, ...]) -> int:
        """What a row misses in the turn in which it misses least."""
        found = NO_ROW
        for case in self._cases(row, self._turns[:TRIED]):
            found = min(found, self._missed(case))
            if not found:
                break
        return found

    def taken(self, row: tuple[int, ...]) -> Case:
        """The case of an allowed row, with the values whose turn it is."""
        stood = {name: self._stood[name, value] for name, value in zip(self._names, row, strict=True)}
        next_turns = ({name: turn[name] + stood[name] for name in turn} for turn in self._turns)
        cases = chain(self._cases(row, next_turns), self._cases(row, self._turns[:TRIED]))
        found = next(case for case in cases if case is not None and not self._misses(case))
        self._stood.update(zip(self._names, row, strict=True))
        return found

    def _claimed(self, name: str, value: Any) -> Any:
        """A value without those in turn that miss more than others, all else being plain."""
        if not isinstance(value, InTurn):
            return value
        plain = {other: values[0] for other, values in self._values.items()}
        missed = [self._missed(self._plain({**plain, name: each})) for each in value.values]
        least = min(missed)
        kept = (each for each, count in zip(value.values, missed, strict=True) if count in (least, NO_ROW))
        return InTurn(*kept)

    def _missed(self, case: Case | None) -> int:
        return NO_ROW if case is None else self._misses(case)

    def _cases(self, row: tuple[int, ...], turns: Iterable[Mapping[str, int]]) -> Iterator[Case | None]:
        """The cases of a row in some turns; one where none of its values has a turn."""
        fields = {name: self._values[name][value] for name, value in zip(self._names, row, strict=True)}
        in_turn = [(name, value.values) for name, value in fields.items() if isinstance(value, InTurn)]
        for turn in turns if in_turn else islice(turns, 1):
            for name, values in in_turn:
                fields[name] = values[turn[name] % len(values)]
            yield self._build(**fields)

    def _plain(self, chosen: Mapping[str, Any]) -> Case | None:
        """The case of the first value of each axis, of values in turn the first."""
        fields = {name: value.values[0] if isinstance(value, InTurn) else value for name, value in chosen.items()}
        return self._build(**fields)
