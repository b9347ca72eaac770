"""Rows of one query in the heads of a group: the errors of their logits are one, whatever keys and LSE they have.

With tau_j^2 the variance of the logit s_j that such rows have with a key, and Lambda_i^2 = sum_k P_ik^2 tau_k^2 what it
gives the LSE of row i, the rows of a class add to

    var[dV] = tau_j^2 (sum_i P_ij dO_i)^2 + (sum_i Lambda_i P_ij dO_i)^2
    var[dK] = scale^2 q^2 (tau_j^2 (sum_i dS_ij)^2 + (sum_i Lambda_i dS_ij)^2)

where rows that err alone add the sums of the squares. tau_j^2 is of the product of query and key in all rows of the
class (`pytest_attn.judge.budget.gradient_pairs.product_error`); of what is subtracted before the exponential, and of
the exponential, in those that subtract the same maximum. An LSE is each row's own, and so are its roundings and those
of P; the errors that its logits give the LSE of rows of a class are taken as one, though their keys may differ in part.
Rows whose LSE is equal, too, are counted as one already (`pytest_attn.judge.budget.row_classes`), and of each part only
what is more than that is added. A row of dQ is of one query row alone, and has no such part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.judge.budget.gradient_pairs import product_error, shift_error, shifts
from pytest_attn.judge.budget.gradient_units import Units
from pytest_attn.judge.budget.row_classes import RowClasses, equal_rows
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows
from pytest_attn.oracles.slabs import Slab
from pytest_attn.problem.problem import Problem

TOGETHER = 2**20
"""Pairs of row and key that are looked at together, at most."""


class SharedErrors(NamedTuple):
    """What one class of `rows` rows adds to the variance of dK `[Skv, D]` and dV `[Skv, Dv]`; `dk_whole` and
    `dv_whole` `[Skv]`, of its largest error, with what is counted already."""

    rows: int
    dk: Tensor
    dk_whole: Tensor
    dv: Tensor
    dv_whole: Tensor


def shared_logits(units: Units, numerics: Numerics, head: HeadTiles, classes: RowClasses) -> Iterator[SharedErrors]:
    """The classes of equal queries of a key head, whose rows fall into these `classes` of equal LSE."""
    query = head.inputs.query[head.batch, head.query_heads.start : head.query_heads.stop].flatten(0, 1).cpu().double()
    index = equal_rows(query)
    if int(index.max()) == len(index) - 1:
        return
    group = _GroupRows.of(numerics, head, classes)
    for members in _classes(index, classes.index):
        rows = group.at(members)
        scores = (head.key @ rows.query[0]) * head.problem.scale
        tau_square = product_error(units, numerics, head.problem, rows.query[:1], head.key, scores.unsqueeze(0))
        yield from _shared(head, rows, scores, tau_square.squeeze(0))
        if numerics.backward.weights_of == "lse":
            continue
        for same in _classes(equal_rows(rows.shift.unsqueeze(1)), rows.index):
            shifted = scores - rows.shift[same[0]]
            # exp(0) is 1.
            tau_square = torch.where(shifted == 0, 0.0, shift_error(units, shifted))
            yield from _shared(head, rows.at(same), scores, tau_square)


@dataclass(frozen=True, eq=False, kw_only=True)
class _GroupRows:
    """Rows of the heads of a group: `head` and `row` `[rows]`, `query` `[rows, D]`, `grad_out` `[rows, Dv]`; `lse`,
    `delta` and `shift`, what is subtracted from logits, `[rows]`.

    Of the class of equal LSE that each row is of, as in `RowClasses`: `class_grad_out`, `class_delta` and `index`.
    """

    head: Tensor
    row: Tensor
    query: Tensor
    grad_out: Tensor
    lse: Tensor
    delta: Tensor
    shift: Tensor
    class_grad_out: Tensor
    class_delta: Tensor
    index: Tensor

    @staticmethod
    def of(numerics: Numerics, head: HeadTiles, classes: RowClasses) -> _GroupRows:
        """All rows that read a key head."""
        every = range(head.problem.query_length)
        of_heads = [
            Rows.of(Slab(head.batch, own, every), head.inputs, head.reference, head.dtype) for own in head.query_heads
        ]
        count = torch.arange(len(every) * head.problem.group)
        return _GroupRows(
            head=head.query_heads.start + count // len(every),
            row=count % len(every),
            query=torch.cat([rows.query for rows in of_heads]),
            grad_out=torch.cat([rows.grad_out for rows in of_heads]),
            lse=torch.cat([rows.lse for rows in of_heads]),
            delta=torch.cat([rows.delta for rows in of_heads]),
            shift=torch.cat([shifts(numerics, head.reference, rows) for rows in of_heads]),
            class_grad_out=classes.grad_out,
            class_delta=classes.delta,
            index=classes.index,
        )

    def at(self, where: Tensor | slice) -> _GroupRows:
        """Some of the rows."""
        return _GroupRows(**{field.name: getattr(self, field.name)[where] for field in fields(self)})


def _classes(index: Tensor, counted: Tensor) -> Iterator[Tensor]:
    """The rows of each class that `index` `[rows]` names, where they are of more than one class of `counted`."""
    order = index.argsort(stable=True)
    for members in torch.split(order, index.bincount().tolist()):
        if len(members) > 1 and bool((counted[members] != counted[members[0]]).any()):
            yield members


class _Sums(NamedTuple):
    """Sums over the rows of a class, of logits and of the LSE (`lse`): of errors that are one, and of the variances
    that are `counted` already; of dV `[Skv, Dv]`, of dK without its query `[Skv]`."""

    dv: Tensor
    dv_counted: Tensor
    dv_lse: Tensor
    dv_lse_counted: Tensor
    dk: Tensor
    dk_counted: Tensor
    dk_lse: Tensor
    dk_lse_counted: Tensor


def _shared(head: HeadTiles, rows: _GroupRows, scores: Tensor, tau_square: Tensor) -> Iterator[SharedErrors]:
    """What rows that have errors of logits of variance tau^2 `[Skv]` in common add; nothing where there are none."""
    if not bool(tau_square.any()):
        return
    sums = _sums(head, rows, scores, tau_square)
    query_square = (head.problem.scale * rows.query[0]).square()
    dv_logits, dv_lse = tau_square.unsqueeze(1) * sums.dv.square(), sums.dv_lse.square()
    dk_logits, dk_lse = tau_square * sums.dk.square(), sums.dk_lse.square()
    dv = (dv_logits - tau_square.unsqueeze(1) * sums.dv_counted).clamp_min(0.0)
    dv += (dv_lse - sums.dv_lse_counted).clamp_min(0.0)
    dk = (dk_logits - tau_square * sums.dk_counted).clamp_min(0.0) + (dk_lse - sums.dk_lse_counted).clamp_min(0.0)
    yield SharedErrors(
        len(rows.row),
        dk=torch.outer(dk, query_square),
        dk_whole=torch.maximum(dk_logits, dk_lse) * query_square.sum(),
        dv=dv,
        dv_whole=torch.maximum(dv_logits.sum(dim=1), dv_lse.sum(dim=1)),
    )


def _sums(head: HeadTiles, rows: _GroupRows, scores: Tensor, tau_square: Tensor) -> _Sums:
    """The sums over all rows, of some at a time."""
    of_values, of_keys = tuple(head.value.shape), (len(head.value),)
    shapes = (of_values,) * 4 + (of_keys,) * 4
    sums = _Sums(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))
    step = max(1, TOGETHER // len(scores))
    for start in range(0, len(rows.row), step):
        some = rows.at(slice(start, start + step))
        weights = _probabilities(head.problem, head.batch, some, scores)
        lse_variance = (weights.square() @ tau_square).unsqueeze(1)
        seen = weights.any(dim=0).nonzero().squeeze(1)
        weights, value = weights[:, seen], head.value[seen]
        lse_error = lse_variance.sqrt()
        grad_out_square = torch.maximum(some.grad_out.square(), some.class_grad_out.square())
        moved = some.grad_out @ value.T - some.delta.unsqueeze(1)
        moved_together = some.class_grad_out @ value.T - some.class_delta.unsqueeze(1)
        counted = weights.square() * torch.maximum(moved.square(), moved_together.square())
        score_gradients = weights * moved
        added = _Sums(
            dv=weights.T @ some.grad_out,
            dv_counted=weights.square().T @ grad_out_square,
            dv_lse=(lse_error * weights).T @ some.grad_out,
            dv_lse_counted=(lse_variance * weights.square()).T @ grad_out_square,
            dk=score_gradients.sum(dim=0),
            dk_counted=counted.sum(dim=0),
            dk_lse=(lse_error * score_gradients).sum(dim=0),
            dk_lse_counted=(lse_variance * counted).sum(dim=0),
        )
        for total, part in zip(sums, added, strict=True):
            total.index_add_(0, seen, part)
    return sums


def _probabilities(problem: Problem, batch: int, rows: _GroupRows, scores: Tensor) -> Tensor:
    """P = exp(s - lse) of rows of one query, `[rows, Skv]`; 0 where the mask forbids the pair."""
    keys = range(len(scores))
    allowed = [
        problem.mask.allowed(problem.lengths, batch, head, range(row, row + 1), keys)
        for head, row in zip(rows.head.tolist(), rows.row.tolist(), strict=True)
    ]
    weights = scores - rows.lse.unsqueeze(1)
    return weights.masked_fill_(~torch.cat(allowed), -torch.inf).exp_()
