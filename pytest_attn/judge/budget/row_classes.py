"""Rows of queries whose probabilities are equal: what is rounded alike in all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.oracles.gradient_tiles import Rows
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class RowClasses:
    """The classes of some rows of one head whose query, keys and LSE are equal: `grad_out` `[rows, Dv]` and `delta`
    `[rows]`, each the sum over the class by the root of its rows, and `count` `[rows]` of these."""

    grad_out: Tensor
    delta: Tensor
    count: Tensor

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference, batch: int, head: int) -> RowClasses:
        """The classes of all rows of a query head, `[Sq, Dv]` and `[Sq]`, float64."""
        assert inputs.grad_out is not None
        assert reference.out is not None
        query, lse = inputs.query[batch, head].cpu().double(), reference.lse[batch, head].double()
        generator = torch.Generator().manual_seed(0)
        mix = torch.rand(query.shape[1] + 2, generator=generator, dtype=torch.float64)
        step = torch.arange(len(query)) // problem.mask.row_step(problem.lengths)
        known = torch.where(lse.isneginf(), 0.0, lse * 1e5).round()
        # Equal rows have equal sums, and other rows others, but for a coincidence in the last of 53 bits.
        name = (torch.cat([query, known.unsqueeze(1), step.double().unsqueeze(1)], dim=1) * mix).sum(dim=1)
        _, index, count = torch.unique(name, return_inverse=True, return_counts=True)
        grad_out = inputs.grad_out[batch, head].cpu().double()
        delta = (grad_out * reference.out[batch, head]).sum(dim=1, keepdim=True)
        rows = torch.cat([grad_out, delta], dim=1)
        together = torch.zeros(len(count), rows.shape[1], dtype=torch.float64).index_add_(0, index, rows)
        shared = (together / count.double().sqrt().unsqueeze(1))[index]
        return RowClasses(shared[:, :-1], shared[:, -1], count[index].double())

    def of_rows(self, rows: Rows) -> RowClasses:
        """The classes that the rows of a slab belong to, which may have rows outside of it."""
        own = slice(rows.slab.rows.start, rows.slab.rows.stop)
        return RowClasses(self.grad_out[own], self.delta[own], self.count[own])

    def more_shared(self, products: Tensor, delta: Tensor, value: Tensor) -> Tensor:
        """By how much (dP - delta)^2 `[rows, keys]` is more where the errors of P are those of the class: of products
        dP `[rows, keys]`, delta `[rows]` and value `[keys, Dv]`."""
        if float(self.count.max()) == 1:
            return torch.zeros_like(products)
        shared = (self.grad_out @ value.T - self.delta.unsqueeze(1)).square()
        return (shared - (products - delta.unsqueeze(1)).square()).clamp_min(0.0)
