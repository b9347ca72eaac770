"""The smallest case that still fails: greedy descent along the axes of a case, the largest reductions first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import flops

TILES = (16, 32, 64, 128, 256, 512, 1024)
"""Sizes of tiles: lengths at and beside their edges are tried, and blocks of these sizes."""

HEAD_DIMS = (1, 2, 4, 8, 16, 32, 40, 64, 72, 80, 96, 112, 128, 160, 192, 256)
"""Head dimensions that kernels are written for."""


def shrink(case: Case, fails: Callable[[Case], bool], seconds: float) -> Case:
    """The smallest case found within `seconds` that `fails`, starting from one that does.

    Every step goes to a neighbour that costs no more FLOPs or has fewer words in its id; dtype stays, and so does the
    oracle where it applies. The order of trials is fixed. No trial starts when the time is up.
    """
    deadline = time.monotonic() + seconds
    tried = {case}
    while True:
        for neighbour in neighbours(case):
            if neighbour in tried or not _no_larger(neighbour, case):
                continue
            if time.monotonic() >= deadline:
                return case
            tried.add(neighbour)
            if fails(neighbour):
                case = neighbour
                break
        else:
            return case


def neighbours(case: Case) -> Iterator[Case]:
    """Cases with one thing smaller or simpler, the largest reductions of each axis first; satisfiable ones only."""
    for changes in _changes(case):
        try:
            neighbour = replace(case, **changes)
        except ValueError:
            continue
        if not neighbour.unsatisfiable:
            yield neighbour


def _no_larger(neighbour: Case, case: Case) -> bool:
    return flops(neighbour) <= flops(case) or _words(neighbour) < _words(case)


def _words(case: Case) -> int:
    return len(case.id.split("-")) + (case.ask == "both")


Changes = dict[str, Any]


def _changes(case: Case) -> Iterator[Changes]:
    # Sizes first: what is tried afterwards is then cheap, a dense case in the place of a sparse one most of all.
    yield from _lengths(case)
    yield from ({"batch": batch} for batch in _smaller(case.batch))
    yield from _heads(case)
    yield from _dims(case)
    yield from _blocks(case)
    yield from _plainer(case)


def _smaller(size: int, marks: Iterable[int] = ()) -> list[int]:
    """Sizes below `size`, ascending: 1, 2, the marks, and by halves of what is left down to one less."""
    halves = (size - (size >> shift) for shift in range(1, size.bit_length()))
    return sorted(smaller for smaller in {1, 2, *marks, *halves} if 0 < smaller < size)


def _lengths(case: Case) -> Iterator[Changes]:
    edges = [tile + beside for tile in TILES for beside in (-1, 0, 1)]
    query, key = case.query_length, case.key_length
    if query == key:
        yield from ({"query_length": length, "key_length": length} for length in _smaller(query, edges))
    for shift in reversed(range(1, min(query, key).bit_length())):
        yield {"query_length": query >> shift, "key_length": key >> shift}
    yield from ({"query_length": length} for length in _smaller(query, edges))
    yield from ({"key_length": length} for length in _smaller(key, edges))


def _heads(case: Case) -> Iterator[Changes]:
    group = case.query_heads // case.key_heads
    groups, key_heads = [*_smaller(group), group], [*_smaller(case.key_heads), case.key_heads]
    # Of as many query heads, those of the same group first.
    found = sorted((size * heads, size != group, heads) for size in groups for heads in key_heads)
    yield from ({"query_heads": query, "key_heads": heads} for query, _, heads in found[:-1])


def _dims(case: Case) -> Iterator[Changes]:
    head, value = case.head_dim, case.value_dim
    common = _smaller(head, HEAD_DIMS) if head == value else _smaller(min(head, value) + 1, HEAD_DIMS)
    yield from ({"head_dim": dim, "value_dim": dim} for dim in common)
    if head != value:
        yield from ({"head_dim": dim} for dim in _smaller(head, HEAD_DIMS))
        yield from ({"value_dim": dim} for dim in _smaller(value, HEAD_DIMS))


def _blocks(case: Case) -> Iterator[Changes]:
    """Smaller blocks in the same grid: the lengths shrink with them."""
    if case.sparsity is None or case.block_shape is None:
        return
    lengths = (case.query_length, case.key_length)
    smaller = [[size for size in TILES if size < block] for block in case.block_shape]
    shapes = [*zip(*smaller, strict=False), *((size, case.block_shape[1]) for size in smaller[0])]
    shapes += [(case.block_shape[0], size) for size in smaller[1]]
    for shape in shapes:
        query, key = (-(-n * new // old) for n, new, old in zip(lengths, shape, case.block_shape, strict=True))
        yield {"block_shape": shape, "query_length": query, "key_length": key}


def _plainer(case: Case) -> Iterator[Changes]:
    """One word less in the id."""
    for variant in case.variants:
        yield {"variants": tuple(other for other in case.variants if other is not variant)}
    if case.layout != "contiguous":
        yield {"layout": "contiguous"}
    if case.recipe != "normal":
        # Closed forms exist for some recipes only.
        yield {"recipe": "normal", "oracle": "exact" if case.oracle == "analytic" else case.oracle}
    if case.scale is not None:
        yield {"scale": None}
    if case.block_shape is not None:
        yield {"block_shape": None, "sparsity": None, "frame": None}
    if case.frame is not None:
        yield {"frame": None}
    if case.causal is not None:
        yield {"causal": None}
    if case.causal == "top-left":
        yield {"causal": "bottom-right"}
    if case.ask == "both":
        yield {"ask": "out"}
        yield {"ask": "lse"}
