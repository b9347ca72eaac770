"""Where failures are: values of the axes of which every judged cell is red, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_attn.records.record import Record

FEWEST = 3
"""Judged cells of a value of which all are red or none is, for that to say anything."""

SHARE = 0.1
"""Share of all red cells, or of all green ones, that the cells of a value have at least, to be worth a word."""

MOST_AXES = 3
"""Axes that are named."""

Fields = Mapping[str, Any]

NAMED: Mapping[str, Callable[[Fields], str]] = {
    "mask": lambda of: (
        " ".join(
            filter(None, ("causal" + " top-left" * (of["causal"] == "top-left") if of["causal"] else "", _blocks(of)))
        )
        or "dense"
    ),
    "dtype": lambda of: str(of["dtype"]),
    "groups": lambda of: f"groups of {of['query_heads'] // of['key_heads']}",
    "variant": lambda of: " ".join(of["variants"]) or "no variant",
    "asked for": lambda of: {"out": "output alone", "lse": "LSE alone", "grad": "gradients"}.get(of["ask"], "both"),
    "layout": lambda of: f"{of['layout']} memory",
    "recipe": lambda of: f"inputs {of['recipe']}",
    "check": lambda of: f"-{of['oracle']}",
    "value dim": lambda of: "Dv = D" if of["value_dim"] == of["head_dim"] else "Dv other than D",
}
"""How the value of a case on an axis without an order is called."""

SIZES: Mapping[str, Callable[[Fields], int]] = {
    "keys": lambda of: int(of["key_length"]),
    "queries": lambda of: int(of["query_length"]),
    "columns of a head": lambda of: int(of["head_dim"]),
    "batches": lambda of: int(of["batch"]),
}


class _Said(NamedTuple):
    """What one axis tells, and of how many cells it is true."""

    words: str
    cells: int


def red_axes(judged: Sequence[Record], red: Sequence[Record]) -> str:
    """What all red cells have in common and others have not, by at most MOST_AXES axes; empty where no axis tells.

    `judged` are the cells of the kernel that ran, `red` those of one cause. Every word is true of all judged cells with
    the value: "all red", "all green".
    """
    ids = {(record.case, record.attempt) for record in red}
    # A cell that is red for another cause says nothing of this one.
    cells = [each for each in judged if each.outcome == "passed" or (each.case, each.attempt) in ids]
    cells = [record for record in cells if record.fields]
    told = [(record.fields, (record.case, record.attempt) in ids) for record in cells]
    if all(is_red for _, is_red in told):
        return "every cell is red, or has another cause" if told else ""
    said = [*(_named(name, told) for name in NAMED), *(_sized(name, told) for name in SIZES)]
    kept = sorted((each for each in said if each.words), key=lambda each: -each.cells)[:MOST_AXES]
    return "; ".join(each.words for each in kept)


def _named(axis: str, told: Sequence[tuple[Fields, bool]]) -> _Said:
    counts: dict[str, list[int]] = {}
    for fields, is_red in told:
        own = counts.setdefault(NAMED[axis](fields), [0, 0])
        own[0] += is_red
        own[1] += 1
    of_red = max(FEWEST, SHARE * sum(is_red for _, is_red in told))
    of_green = max(FEWEST, SHARE * sum(not is_red for _, is_red in told))
    red = [(value, total) for value, (wrong, total) in counts.items() if wrong == total >= of_red]
    green = [(value, total) for value, (wrong, total) in counts.items() if not wrong and total >= of_green]
    if len(counts) == 1 or not (red or green):
        return _Said("", 0)
    parts = [_all(red, "red"), _all(green, "green")]
    return _Said(", ".join(filter(None, parts)), sum(total for _, total in (*red, *green)))


def _sized(axis: str, told: Sequence[tuple[Fields, bool]]) -> _Said:
    """The largest size up to which, or the smallest from which, every cell is green."""
    sizes = sorted((SIZES[axis](fields), is_red) for fields, is_red in told)
    wrong = [size for size, is_red in sizes if is_red]
    below = [size for size, _ in sizes if size < wrong[0]]
    above = [size for size, _ in sizes if size > wrong[-1]]
    parts, cells = [], 0
    if len(below) >= FEWEST and below[-1] > 1:
        parts.append(f"up to {below[-1]} {axis}: all {len(below)} green")
        cells += len(below)
    if len(above) >= FEWEST:
        parts.append(f"from {above[0]} {axis} on: all {len(above)} green")
        cells += len(above)
    return _Said(", ".join(parts), cells)


def _all(values: Iterable[tuple[str, int]], colour: str) -> str:
    listed = sorted(values, key=lambda each: -each[1])[:MOST_AXES]
    return ", ".join(f"{value}: all {total} {colour}" for value, total in listed)


def _blocks(fields: Fields) -> str:
    return "block-sparse" if fields["sparsity"] is not None else ""
