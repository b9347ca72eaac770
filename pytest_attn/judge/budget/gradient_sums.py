"""What is summed over the tiles of a backward pass for the budget of its gradients.

The derivation is the docstring of `pytest_attn.judge.budget.gradient_rounding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.judge.budget.gradient_units import Rounding
from pytest_attn.oracles.gradient_tiles import add_rows, raise_rows
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Span


class TermSums(NamedTuple):
    """Sums over the terms w_i x_i of one gradient `[..., S, D]`, with weights w and vectors x.

    `rounding_variance` and `rounding_bound` are of rounding w before the product; `variance` is of all other errors
    of w. The last two are of a whole row, `[..., S]`.
    """

    rounding_variance: Tensor
    """sum_i var[round(w_i)] x_i^2."""

    variance: Tensor
    """sum_i var[w_i] x_i^2."""

    term_square: Tensor
    """A = sum_i w_i^2 x_i^2."""

    rounding_bound: Tensor
    """sum_i max |round(w_i) - w_i| |x_i|."""

    row_variance: Tensor
    """sum_i (var[round(w_i)] + var[w_i]) |x_i|^2."""

    largest_variance: Tensor
    """The largest part of `row_variance` that is one error: of a term, or of a class of terms that share theirs."""

    @staticmethod
    def zeros(shape: Sequence[int]) -> TermSums:
        """The sums of no terms, float64, for a gradient of this shape."""
        elements = (torch.zeros(tuple(shape), dtype=torch.float64) for _ in range(4))
        rows = (torch.zeros(tuple(shape[:-1]), dtype=torch.float64) for _ in range(2))
        return TermSums(*elements, *rows)

    def at(self, where: tuple[int | slice, ...]) -> TermSums:
        """The sums of some heads and rows; a view, what is added to it is added here."""
        return TermSums(*(tensor[where] for tensor in self))

    def add(self, other: TermSums, spans: Sequence[Span] | None = None) -> None:
        """Add the sums of other terms, those of the rows in `spans` alone where these are given."""
        where = [Span(0, len(self.row_variance), True)] if spans is None else spans
        for mine, theirs in zip(self[:-1], other[:-1], strict=True):
            add_rows(mine, where, theirs)
        raise_rows(self.largest_variance, where, other.largest_variance)

    def add_shared(self, variance: Tensor, largest: Tensor | None = None) -> None:
        """Add the variance `[S, D]` of an error that all terms of a row share; where some of it is counted already, the
        whole error comes to `largest` `[S]`."""
        self.variance.add_(variance)
        row_variance = variance.sum(dim=1)
        self.row_variance.add_(row_variance)
        torch.maximum(self.largest_variance, row_variance if largest is None else largest, out=self.largest_variance)


def term_sums(
    weights: Tensor,
    rounding: Rounding,
    variance: Tensor,
    vectors: Tensor,
    *,
    class_vectors: Tensor | None = None,
    class_sizes: Tensor | None = None,
) -> TermSums:
    """The sums over the terms of weights w `[S, terms]` and vectors x `[terms, D]`.

    w is rounded, and has the `variance` `[S, terms]` of its other errors. Where classes of terms share their errors,
    `class_vectors` is the sum of x over the class of each term by the root of its size, and `class_sizes` `[terms]`
    that size: where it is more, that vector takes the place of x in all variances.
    """
    vector_square = vectors.square()
    error_square = vector_square if class_vectors is None else torch.maximum(vector_square, class_vectors.square())
    rounding_variance = rounding.variance(weights)
    of_terms = (rounding_variance + variance) * error_square.sum(dim=1)
    of_errors = of_terms if class_sizes is None else of_terms * class_sizes
    return TermSums(
        rounding_variance=rounding_variance @ error_square,
        variance=variance @ error_square,
        term_square=weights.square() @ vector_square,
        rounding_bound=rounding.bound(weights) @ vectors.abs(),
        row_variance=of_terms.sum(dim=1),
        largest_variance=of_errors.amax(dim=1),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class GradientSums:
    """All that is summed over the tiles of a backward pass, float64. Each key head is summed by one worker."""

    dq: TermSums
    """Over the keys of a query: w = scale dS, x = K; `[B, Hq, Sq, D]`."""

    dk: TermSums
    """Over the queries of a key: w = scale dS^T, x = Q; `[B, Hkv, Skv, D]`."""

    dv: TermSums
    """Over the queries of a key: w = P^T, x = dO; `[B, Hkv, Skv, Dv]`."""

    stored_dv: Tensor
    """round(P)^T dO, with P in the precision that the kernel stores it in; `[B, Hkv, Skv, Dv]`."""

    dk_head_square: Tensor
    """sum_h g_h^2 of what each query head h of a group contributes to dK; `[B, Hkv, Skv, D]`, 0 without groups."""

    dv_head_square: Tensor
    """sum_h g_h^2 of what each query head h of a group contributes to dV; `[B, Hkv, Skv, Dv]`, 0 without groups."""

    equal_rows: Tensor
    """Rows of the largest class of equal rows (`pytest_attn.judge.budget.row_classes`); `[B, Hq]`."""

    @staticmethod
    def zeros(inputs: Inputs) -> GradientSums:
        """The sums over no tiles."""
        dq, dk, dv = (tensor.shape for tensor in (inputs.query, inputs.key, inputs.value))
        dk_head_square, dv_head_square, stored_dv = (torch.zeros(shape, dtype=torch.float64) for shape in (dk, dv, dv))
        return GradientSums(
            dq=TermSums.zeros(dq),
            dk=TermSums.zeros(dk),
            dv=TermSums.zeros(dv),
            stored_dv=stored_dv,
            dk_head_square=dk_head_square,
            dv_head_square=dv_head_square,
            equal_rows=torch.ones(dq[:2], dtype=torch.float64),
        )
