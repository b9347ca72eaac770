"""How many keys each query may attend to, and how many queries may attend to each key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Mask, heads_alike

MOST_ROWS = 512
"""Rows whose partly allowed spans are looked at together."""


def visible_keys(mask: Mask, lengths: Lengths, batches: int, heads: int) -> Tensor:
    """int64 `[B, H, Sq]`: for each query the number of keys that it may attend to."""
    own = 1 if heads_alike(mask) else heads
    counts = torch.zeros((batches, own, lengths.query), dtype=torch.int64)
    for batch, head, rows in _runs(mask, lengths, batches, own):
        counts[batch, head, rows.start : rows.stop] = _visible(mask, lengths, batch, head, rows)
    return counts.expand(batches, heads, lengths.query)


def seeing_queries(mask: Mask, lengths: Lengths, batches: int, heads: int) -> Tensor:
    """int64 `[B, H, Skv]`: for each key the number of queries of a query head that may attend to it."""
    own = 1 if heads_alike(mask) else heads
    counts = torch.zeros((batches, own, lengths.key), dtype=torch.int64)
    for batch, head, rows in _runs(mask, lengths, batches, own):
        for start, stop, full in mask.spans(lengths, batch, head, rows):
            if full:
                counts[batch, head, start:stop] += len(rows)
            else:
                counts[batch, head, start:stop] += mask.allowed(lengths, batch, head, rows, range(start, stop)).sum(0)
    return counts.expand(batches, heads, lengths.key)


def _runs(mask: Mask, lengths: Lengths, batches: int, heads: int) -> Iterator[tuple[int, int, range]]:
    """(batch, head, query rows): every row once, in runs that the mask treats alike."""
    step = mask.row_step(lengths)
    for batch, head, start in product(range(batches), range(heads), range(0, lengths.query, step)):
        stop = min(start + step, lengths.query)
        for first in range(start, stop, MOST_ROWS):
            yield batch, head, range(first, min(first + MOST_ROWS, stop))


def rows_without_keys(mask: Mask, lengths: Lengths, *of: Mask, batches: int = 1) -> Tensor:
    """`Mask.empty_rows` of a mask made of others, pair by pair: each of them may leave a row a key that another
    takes."""
    shapes = [(batches, 1), *((1, 1, *part.empty_rows(lengths).shape[:-1])[-2:] for part in of)]
    batches, heads = (max(sizes) for sizes in zip(*shapes, strict=True))
    return visible_keys(mask, lengths, batches, heads) == 0


def _visible(mask: Mask, lengths: Lengths, batch: int, head: int, rows: range) -> Tensor:
    count = torch.zeros(len(rows), dtype=torch.int64)
    for start, stop, full in mask.spans(lengths, batch, head, rows):
        if full:
            count += stop - start
        else:
            count += mask.allowed(lengths, batch, head, rows, range(start, stop)).sum(dim=1)
    return count
