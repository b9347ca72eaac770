"""What a backward pass with a given bug would compute: the exact one with every step open to change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.model import allowed_pairs
from pytest_attn.oracles.reference import Reference, ReferenceGradients
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Backward:
    """A backward pass in float64: P = exp(s - lse), dP = dO V^T, dS = P (dP - delta), dV = P^T dO, dQ = scale dS K and
    dK = scale dS^T Q.

    query `[B, H, Sq, D]`, key `[B, H, Skv, D]`, value `[B, H, Skv, Dv]`, grad_out `[B, H, Sq, Dv]`: one key and value
    head per query head; lse and delta `[B, H, Sq, 1]`; allowed bool `[B, H, Sq, Skv]`; scores s, unmasked, and products
    dP `[B, H, Sq, Skv]`.
    """

    problem: Problem
    query: Tensor
    key: Tensor
    value: Tensor
    grad_out: Tensor
    lse: Tensor
    delta: Tensor
    allowed: Tensor
    scores: Tensor
    products: Tensor

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference) -> Backward:
        """The correct pass of a problem whose variants change its mask alone."""
        assert inputs.grad_out is not None
        assert reference.out is not None
        query, grad_out = (tensor.to("cpu", torch.float64) for tensor in (inputs.query, inputs.grad_out))
        key, value = (
            tensor.to("cpu", torch.float64).repeat_interleave(problem.group, dim=1)
            for tensor in (inputs.key, inputs.value)
        )
        # exp(-inf - 0) is 0 in a row without keys.
        lse = reference.lse.double().masked_fill(reference.empty_rows, 0.0).unsqueeze(3)
        delta = (grad_out * reference.out.double()).sum(dim=3, keepdim=True)
        allowed = allowed_pairs(problem, torch.arange(problem.query_length))
        allowed = allowed.expand(problem.batch, problem.query_heads, -1, -1)
        scores, products = query @ key.mT * problem.scale, grad_out @ value.mT
        return Backward(problem, query, key, value, grad_out, lse, delta, allowed, scores, products)

    @property
    def weights(self) -> Tensor:
        """The probabilities P = exp(s - lse) `[B, Hq, Sq, Skv]`, float64; 0 where a query may not attend to a key."""
        return (self.scores - self.lse).exp().masked_fill(~self.allowed, 0.0)

    @property
    def score_gradients(self) -> Tensor:
        """The gradients of the scaled logits, dS = P (dP - delta), `[B, Hq, Sq, Skv]`, float64."""
        return self.weights * (self.products - self.delta)

    def gradients(self, weights: Tensor | None = None, score_gradients: Tensor | None = None) -> ReferenceGradients:
        """The gradients of the pass, or of other P in dV and other dS."""
        dq, dk, dv = self.by_query_head(weights, score_gradients)
        return ReferenceGradients(dq, self.summed(dk), self.summed(dv))

    def by_query_head(
        self, weights: Tensor | None = None, score_gradients: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """dQ, and dK and dV `[B, Hq, Skv, D]` of each query head alone."""
        weights = self.weights if weights is None else weights
        score_gradients = self.score_gradients if score_gradients is None else score_gradients
        scale = self.problem.scale
        return (
            score_gradients @ self.key * scale,
            score_gradients.mT @ self.query * scale,
            weights.mT @ self.grad_out,
        )

    def summed(self, gradient: Tensor) -> Tensor:
        """The gradient of each key head, summed over its query heads."""
        batches, _, keys, dim = gradient.shape
        return gradient.view(batches, self.problem.key_heads, self.problem.group, keys, dim).sum(dim=2)

    def seeing(self, allowed: Tensor) -> Backward:
        """The pass with other pairs allowed, of the same LSE."""
        return replace(self, allowed=allowed.expand_as(self.allowed))

    def behind_forward(self, allowed: Tensor) -> Backward:
        """The pass with other pairs allowed, in the forward pass as well."""
        allowed = allowed.expand_as(self.allowed)
        lse = self.scores.masked_fill(~allowed, -torch.inf).logsumexp(dim=3, keepdim=True)
        lse = lse.masked_fill(lse.isneginf(), 0.0)
        moved = replace(self, allowed=allowed, lse=lse)
        out = moved.weights @ self.value
        return replace(moved, delta=(self.grad_out * out).sum(dim=3, keepdim=True))

    def in_tiles(self, dtype: torch.dtype, rows: int, keys: int) -> ReferenceGradients:
        """The gradients, rounded to a dtype whenever a tile of so many queries and keys is added."""

        def rounded(parts: list[Tensor]) -> Tensor:
            total = torch.zeros_like(parts[0])
            for part in parts:
                total = (total + part).to(dtype).double()
            return total

        weights, score_gradients, scale = self.weights, self.score_gradients, self.problem.scale
        pairs = zip(torch.split(score_gradients, keys, dim=3), torch.split(self.key, keys, dim=2), strict=True)
        dq = rounded([part @ key * scale for part, key in pairs])
        pairs = zip(torch.split(score_gradients, rows, dim=2), torch.split(self.query, rows, dim=2), strict=True)
        dk = rounded([part.mT @ query * scale for part, query in pairs])
        pairs = zip(torch.split(weights, rows, dim=2), torch.split(self.grad_out, rows, dim=2), strict=True)
        dv = rounded([part.mT @ grad_out for part, grad_out in pairs])
        return ReferenceGradients(dq, *(self.summed(each).to(dtype).double() for each in (dk, dv)))
