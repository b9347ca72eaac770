"""Slabs: query rows that the streaming engine computes together, and the keys they attend to in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.problem.masks import Span, heads_alike
from pytest_attn.problem.problem import Problem

TILE_ROWS = 512
TILE_KEYS = 1024

TOGETHER = 2**17
"""Scores of several heads that are computed together, at most: what a cache holds."""


class Slab(NamedTuple):
    """Query rows of one head that are computed together."""

    batch: int
    head: int
    rows: range

    @property
    def where(self) -> tuple[int, int, slice]:
        """The index of these rows in a tensor `[B, Hq, Sq, ...]`."""
        return self.batch, self.head, slice(self.rows.start, self.rows.stop)


def slabs(problem: Problem, most_rows: int | None = None) -> Iterator[Slab]:
    """Every query row once, in runs that the mask treats alike, of at most `most_rows` (None: those of a tile)."""
    for batch in range(problem.batch):
        for head in range(problem.query_heads):
            yield from head_slabs(problem, batch, head, most_rows or TILE_ROWS)


def head_slabs(problem: Problem, batch: int, head: int, most_rows: int) -> Iterator[Slab]:
    """The query rows of one head, in runs that the mask treats alike, of at most `most_rows`."""
    step = problem.mask.row_step(problem.lengths)
    for start in range(0, problem.query_length, step):
        stop = min(start + step, problem.query_length)
        for first in range(start, stop, most_rows):
            yield Slab(batch, head, range(first, min(first + most_rows, stop)))


class HeadsSlab(NamedTuple):
    """Query rows of several heads that are computed together: of whole groups that share a key head, or of one such
    group a part."""

    batch: int
    heads: range
    rows: range

    @property
    def where(self) -> tuple[int, slice, slice]:
        """The index of these rows in a tensor `[B, Hq, Sq, ...]`."""
        return self.batch, slice(self.heads.start, self.heads.stop), slice(self.rows.start, self.rows.stop)

    def key_heads(self, group: int) -> slice:
        """The key heads of these heads."""
        return slice(self.heads.start // group, (self.heads.stop - 1) // group + 1)

    @property
    def single(self) -> Iterator[Slab]:
        """The rows of each head."""
        return (Slab(self.batch, head, self.rows) for head in self.heads)


def heads_slabs(problem: Problem) -> Iterator[HeadsSlab]:
    """Every query row once: heads that the mask treats alike together where their rows see few keys."""
    for batch in range(problem.batch):
        if not heads_alike(problem.mask):
            for head in range(problem.query_heads):
                for slab in head_slabs(problem, batch, head, TILE_ROWS):
                    yield HeadsSlab(batch, range(head, head + 1), slab.rows)
            continue
        for slab in head_slabs(problem, batch, 0, TILE_ROWS):
            seen = sum(stop - start for start, stop, _ in problem.mask.spans(problem.lengths, *slab))
            step = _heads_together(problem, TOGETHER // max(len(slab.rows) * min(seen, TILE_KEYS), 1))
            for head in range(0, problem.query_heads, step):
                yield HeadsSlab(batch, range(head, min(head + step, problem.query_heads)), slab.rows)


def _heads_together(problem: Problem, most: int) -> int:
    """At most so many heads, at least one: whole groups, or what divides a group."""
    if most >= problem.group:
        return min(most // problem.group * problem.group, problem.query_heads)
    return next(step for step in range(max(most, 1), 0, -1) if problem.group % step == 0)


def chunks(spans: Sequence[Span], width: int) -> Iterator[list[Span]]:
    """The spans cut and packed into groups of at most `width` keys, in order."""
    group: list[Span] = []
    room = width
    for start, stop, full in spans:
        while start < stop:
            end = min(stop, start + room)
            group.append(Span(start, end, full))
            room -= end - start
            start = end
            if room == 0:
                yield group
                group, room = [], width
    if group:
        yield group


def gather(tensor: Tensor, spans: Sequence[Span]) -> Tensor:
    """Rows of `tensor` `[..., S, D]` in the spans: a view of one span, a copy of several."""
    pieces = [tensor[..., start:stop, :] for start, stop, _ in spans]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-2)
