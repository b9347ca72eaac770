"""Cells in which the values of some axes occur equally often, beside and with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_attn.problem.case import Case

Row = dict[str, Any]
"""A value for each axis."""


def spread(
    rows: Iterable[Row], axes: Mapping[str, Sequence[Any]], build: Callable[..., Case | None]
) -> tuple[Case, ...]:
    """A case of each row, with the value of every further axis that has stood least often beside the others so far.

    `build` makes a case of a value for each axis, None where no such case exists; a row that no values complete is left
    out, and so is a case that is there already.
    """
    used: Counter[tuple[str, Any, str, Any]] = Counter()
    found: dict[Case, None] = {}
    for row in rows:
        for chosen in _completed(row, [name for name in axes if name not in row], axes, used):
            case = build(**chosen)
            if case is not None and case not in found:
                found[case] = None
                used.update(_pairs(chosen))
                break
    return tuple(found)


def _completed(
    chosen: Row, names: Sequence[str], axes: Mapping[str, Sequence[Any]], used: Counter[tuple[str, Any, str, Any]]
) -> Iterator[Row]:
    """The row with a value for each of the axes, rarest values first."""
    if not names:
        yield chosen
        return
    name, *rest = names

    def rarity(value: Any) -> tuple[int, int]:
        beside = [used[other, own, name, value] for other, own in chosen.items()]
        return used[name, value, name, value] + sum(beside), max(beside, default=0)

    for value in sorted(axes[name], key=rarity):
        yield from _completed({**chosen, name: value}, rest, axes, used)


def _pairs(row: Row) -> Iterator[tuple[str, Any, str, Any]]:
    """Every value with itself, and with each of another axis."""
    return ((name, value, other, own) for name, value in row.items() for other, own in row.items())


def case_of(lengths: tuple[int, int], dims: tuple[int, int], heads: tuple[int, int], **fields: Any) -> Case | None:
    """The case of (queries, keys), (head dimension, that of values), (query heads, key heads) and further fields; None
    where they contradict each other."""
    fields |= dict(zip(("head_dim", "value_dim", "query_heads", "key_heads"), (*dims, *heads), strict=True))
    try:
        case = Case(*lengths, **fields)
    except ValueError:
        return None
    return None if case.unsatisfiable else case
