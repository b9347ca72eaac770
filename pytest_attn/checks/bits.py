"""Two results of a kernel, compared bit by bit."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.worst import first_place
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.problem import Problem

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

PARTIAL = 5
"""Dimensions of partial results: the splits stand before the batch."""


def bits(tensor: Tensor) -> Tensor:
    """The same memory as integers: NaN is not equal to NaN, its bits are."""
    return tensor.view(BITS[tensor.element_size()])


def difference(
    what: str, problem: Problem, first: Output, second: Output, rows: Tensor | None = None
) -> Finding | None:
    """The finding `what` that two results of a problem differ; None where every bit that was asked for is the same.

    `rows`, bool `[B, H, Sq]`: the rows compared; all where None.
    """
    pairs = [("out", first.out, second.out)] if problem.wants_out else []
    if first.lse is not None and second.lse is not None:
        pairs.append(("lse", first.lse.unsqueeze(-1), second.lse.unsqueeze(-1)))
    if problem.wants_grad and first.grads is not None and second.grads is not None:
        pairs += zip(first.grads._fields, first.grads, second.grads, strict=True)
    compared: list[tuple[str, int | None, Tensor, Tensor]] = [(name, None, one, other) for name, one, other in pairs]
    if first.out.dim() == PARTIAL:
        compared = [
            (name, split, one[split], other[split]) for name, one, other in pairs for split in range(problem.num_splits)
        ]
    for name, split, one, other in compared:
        differs = (bits(one.contiguous()) != bits(other.contiguous())).any(dim=3)
        if rows is not None:
            differs = differs & rows.to(differs.device)
        place = first_place(differs, None if rows is None else int(rows.sum()))
        if place is None:
            continue
        words = f"{place.share} differ"
        if split is None:
            return Finding(what=what, tensor=name, words=words, place=place)
        return Finding(
            what=what, tensor=name, names_tensor=True, words=f"{name} of split {split}: {words}", place=place
        )
    return None
