"""Rows of queries whose probabilities are equal: what is rounded alike in all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.oracles.gradient_tiles import Rows
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import heads_alike
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class RowClasses:
    """The classes of some rows of the heads of a group whose query, keys and LSE are equal: `grad_out` `[rows, Dv]` and
    `delta` `[rows]`, each the sum over the class by the root of its rows, `count` `[rows]` of these, and `index`
    `[rows]`, which class a row is of."""

    grad_out: Tensor
    delta: Tensor
    count: Tensor
    index: Tensor

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference, batch: int, key_head: int) -> RowClasses:
        """The classes of all rows of the query heads that read a key head, `[group * Sq, ...]`, float64."""
        assert inputs.grad_out is not None
        assert reference.out is not None
        own = slice(key_head * problem.group, (key_head + 1) * problem.group)
        tensors = (inputs.query, inputs.grad_out, reference.out, reference.lse)
        query, grad_out, out, lse = (tensor[batch, own].flatten(0, 1).cpu().double() for tensor in tensors)
        row, head = torch.arange(len(lse)) % problem.query_length, torch.arange(len(lse)) // problem.query_length
        step = row // problem.mask.row_step(problem.lengths)
        known = torch.where(lse.isneginf(), 0.0, lse * 1e5).round()
        alike = torch.zeros_like(lse) if heads_alike(problem.mask) else head.double()
        index = equal_rows(torch.cat([query, torch.stack([known, step.double(), alike], dim=1)], dim=1))
        count = index.bincount()
        rows = torch.cat([grad_out, (grad_out * out).sum(dim=1, keepdim=True)], dim=1)
        together = torch.zeros(len(count), rows.shape[1], dtype=torch.float64).index_add_(0, index, rows)
        shared = (together / count.double().sqrt().unsqueeze(1))[index]
        return RowClasses(shared[:, :-1], shared[:, -1], count[index].double(), index)

    def of_rows(self, problem: Problem, rows: Rows) -> RowClasses:
        """The classes that the rows of a slab belong to, which may have rows outside of it."""
        first = rows.slab.head % problem.group * problem.query_length
        own = slice(first + rows.slab.rows.start, first + rows.slab.rows.stop)
        return RowClasses(self.grad_out[own], self.delta[own], self.count[own], self.index[own])

    def more_shared(self, products: Tensor, delta: Tensor, value: Tensor) -> Tensor:
        """By how much (dP - delta)^2 `[rows, keys]` is more where the errors of P are those of the class: of products
        dP `[rows, keys]`, delta `[rows]` and value `[keys, Dv]`."""
        if float(self.count.max()) == 1:
            return torch.zeros_like(products)
        shared = (self.grad_out @ value.T - self.delta.unsqueeze(1)).square()
        return (shared - (products - delta.unsqueeze(1)).square()).clamp_min(0.0)


def equal_rows(rows: Tensor) -> Tensor:
    """Which class of equal rows each row of `rows` `[rows, columns]`, float64, is of, `[rows]`."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.rand(rows.shape[1], generator=generator, dtype=torch.float64)
    # Equal rows have equal sums, and other rows others, but for a coincidence in the last of 53 bits.
    index: Tensor = torch.unique((rows * mix).sum(dim=1), return_inverse=True)[1]
    return index
