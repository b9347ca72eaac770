"""What holds for numbers of usual size, and not for saturated, cancelling or huge ones."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import State, TileLoop
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop

FLOAT16 = 65504.0
"""The largest number of float16."""


def beyond_float16(values: Tensor, limited: Tensor) -> Tensor:
    """`values`, infinite where the numbers `limited` overflow float16."""
    return torch.where(limited.abs() > FLOAT16, values.sign() * torch.inf, values)


@plant("not finite")
class TangentOfExponentials(VariantLoop):
    """Beyond 1 the tangent of capped logits is a quotient of exponentials, which overflow from 88 on (vLLM #56578)."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        x = scores / cap
        quotient = (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
        return cap * torch.where(x.abs() < 1, x.tanh(), quotient)


@plant("precision")
class LogitsSummedInBfloat16(TileLoop):
    """Partial sums of query . key that are larger than 32 are kept in bfloat16."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        total = torch.zeros_like(super().scores(query, key))
        for start in range(0, query.shape[3], 16):
            total = total + query[..., start : start + 16] @ key[..., start : start + 16].mT
            total = torch.where(total.abs() > 32, total.bfloat16().to(total.dtype), total)
        return total


@plant("overflow")
class ProductInFloat16(TileLoop):
    """The product of query and key passes through float16 before it is scaled, and overflows from 65504 on."""

    def logits(
        self, problem: Problem, inputs: Inputs, query: Tensor, key: Tensor, lane: Lane, rows: range, keys: range
    ) -> Tensor:
        scores = self.scores(query, key)
        return self.mask(problem, beyond_float16(scores, scores / problem.scale), lane, rows, keys)


@plant("overflow")
class ScaledLogitInFloat16(TileLoop):
    """Logits pass through float16 after they are scaled, and overflow from 65504 on."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        scores = super().scores(query, key)
        return beyond_float16(scores, scores)


@plant("overflow")
class ValuesSummedInFloat16(TileLoop):
    """A tile's sum of weighted values passes through float16, and overflows from 65504 on."""

    def product(self, weights: Tensor, value: Tensor) -> Tensor:
        products = super().product(weights, value)
        return beyond_float16(products, products)


@plant("overflow")
class ValuesCutAt32768(TileLoop):
    """Values are cut off at 32768, half of what float16 holds."""

    def product(self, weights: Tensor, value: Tensor) -> Tensor:
        return super().product(weights, value.clamp(-(2.0**15), 2.0**15))


@plant("rescale")
class MaximumStartsAtMinus10000(TileLoop):
    """The running maximum starts at -10000, which a row of smaller logits never reaches (FlashInfer #4401)."""

    def start(self, query: Tensor, problem: Problem) -> State:
        state = super().start(query, problem)
        return State(torch.full_like(state.maximum, -10000.0), state.total, state.acc)


@plant("rescale")
class MaximumStartsAtMinus65504(TileLoop):
    """The running maximum starts at the least number of float16, which a row of smaller logits never reaches."""

    def start(self, query: Tensor, problem: Problem) -> State:
        state = super().start(query, problem)
        return State(torch.full_like(state.maximum, -FLOAT16), state.total, state.acc)


@plant("leaked keys")
class HiddenLogitOfMinus50000(TileLoop):
    """A key that is hidden beside others has the logit -50000, more than logits of -70000 (FlashInfer #4267)."""

    def mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        masked = super().mask(problem, scores, lane, rows, keys)
        seen = ~masked.isneginf()
        return masked.masked_fill(~seen & seen.any(dim=3, keepdim=True), -50000.0)


@plant("not finite")
class LogitsNotShifted(TileLoop):
    """Exponentials are taken of the logits as they are, without their maximum."""

    def update(self, problem: Problem, state: State, scores: Tensor, value: Tensor) -> None:
        weights = self.exp(scores)
        state.total = state.total + self.row_sum(weights)
        state.acc = state.acc + self.product(self.probabilities(problem, weights), value)
        state.maximum = torch.zeros_like(state.maximum)
