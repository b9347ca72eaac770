"""Batches of sequences that are shorter than the tensors that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.problem.masks.mask import Lengths, Mask, Span, heads_alike
from pytest_attn.problem.masks.visible import rows_without_keys


@dataclass(frozen=True, slots=True)
class Ragged:
    """In batch b, `inner` over the first `sequences[b]` queries and keys; the rest is padding, which attends to nothing
    and is not attended to."""

    inner: Mask
    sequences: tuple[Lengths, ...]

    @property
    def key(self) -> str:
        """The inner mask and the length of every sequence."""
        return f"ragged({self.inner.key})" + "-".join(f"{each.query}x{each.key}" for each in self.sequences)

    @property
    def heads_alike(self) -> bool:
        """Whether the inner mask's are."""
        return heads_alike(self.inner)

    def row_step(self, lengths: Lengths) -> int:
        """That of the inner mask."""
        return self.inner.row_step(lengths)

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """Those of the inner mask over the sequence of the batch; full only where no row of `rows` is padding."""
        own = self.sequences[batch]
        real = range(rows.start, min(rows.stop, own.query))
        if not real or not own.key:
            return []
        whole = len(real) == len(rows)
        spans = (
            Span(start, min(stop, own.key), full and whole)
            for start, stop, full in self.inner.spans(own, batch, head, real)
        )
        return [span for span in spans if span.start < span.stop]

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """What the inner mask allows, where both query and key are of the sequence."""
        own = self.sequences[batch]
        real = torch.arange(rows.start, rows.stop).unsqueeze(1) < own.query
        return self.inner.allowed(own, batch, head, rows, keys) & real & (torch.arange(keys.start, keys.stop) < own.key)

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool `[B, H or 1, Sq]`: padding, and the rows that the inner mask leaves without keys."""
        return rows_without_keys(self, lengths, self.inner, batches=len(self.sequences))
