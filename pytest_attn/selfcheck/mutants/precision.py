"""Arithmetic that is worse than declared."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, State, TileLoop


def toward_zero(values: Tensor, dtype: torch.dtype) -> Tensor:
    """float32 values cut, not rounded, to the mantissa of another type."""
    dropped = {torch.bfloat16: 16, torch.float16: 13}.get(dtype, 0)
    return (values.view(torch.int32) >> dropped << dropped).view(torch.float32)


@plant("precision")
class AccInBfloat16(TileLoop):
    """Weighted values accumulate in bfloat16."""

    def rescale_acc(self, acc: Tensor, decay: Tensor) -> Tensor:
        return super().rescale_acc(acc, decay).bfloat16().float()


@plant("precision")
class AccInFloat16(TileLoop):
    """Weighted values accumulate in float16, and overflow (ik_llama.cpp #1196)."""

    def rescale_acc(self, acc: Tensor, decay: Tensor) -> Tensor:
        return super().rescale_acc(acc, decay).half().float()


@plant("precision")
class TotalInBfloat16(TileLoop):
    """The sum of weights accumulates in bfloat16."""

    def rescale_total(self, total: Tensor, decay: Tensor) -> Tensor:
        return super().rescale_total(total, decay).bfloat16().float()


@plant("precision")
class LogitsInBfloat16(TileLoop):
    """Scores are stored in bfloat16 before the softmax."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return super().scores(query, key).bfloat16().float()


@plant("precision")
class LogitsInFloat16(TileLoop):
    """Scores are stored in float16 before the softmax, unscaled where they overflow (ComfyUI #9773)."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return super().scores(query, key).half().float()


@plant("precision")
class ProbabilitiesInFp8(TileLoop):
    """Probabilities are rounded to three bits before the second product (flash-attention #2717)."""

    def probabilities(self, problem: Problem, weights: Tensor) -> Tensor:
        return weights.to(torch.float8_e4m3fn).float()


@plant("precision")
class ProbabilitiesInBfloat16(TileLoop):
    """Probabilities are bfloat16 whatever the inputs are."""

    def probabilities(self, problem: Problem, weights: Tensor) -> Tensor:
        return weights.bfloat16().float()


@plant("precision")
class ValuesInFp8(TileLoop):
    """Values are rounded to three bits when they are loaded."""

    def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        largest = inputs.value.abs().amax().clamp_min(1.0).float() / 448
        return (super().load_value(problem, inputs, lane, keys) / largest).to(torch.float8_e4m3fn).float() * largest


@plant("precision")
class ScaleFoldedIntoQuery(TileLoop):
    """The scaled query is rounded to the input type before the product (MLX #3119)."""

    def load_query(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Tensor:
        scaled = super().load_query(problem, inputs, lane, rows) * self.scale(problem)
        return scaled.to(problem.dtype).float() / self.scale(problem)


@plant("precision")
class ScaleInBfloat16(TileLoop):
    """The scale is a bfloat16 number."""

    def scale(self, problem: Problem) -> float:
        return float(torch.tensor(problem.scale).bfloat16())


@plant("precision")
class ProductInTensorFloat32(TileLoop):
    """Products of float32 inputs keep ten bits of mantissa."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return super().scores(toward_zero(query, torch.float16), toward_zero(key, torch.float16))


@plant("precision")
class FastExponential(TileLoop):
    """The exponential is off by up to one in a thousand (flash-attention #2595)."""

    def exp(self, logits: Tensor) -> Tensor:
        return super().exp(logits) * (1.0 + 1e-3 * torch.sin(7.0 * logits.clamp_min(-80.0)))


@plant("precision")
class SmallWeightsFlushed(TileLoop):
    """Weights below 2^-7 of the largest count as 0."""

    def exp(self, logits: Tensor) -> Tensor:
        return super().exp(logits.masked_fill(logits < -7 * 0.6931, -torch.inf))


@plant("precision")
class PartsInBfloat16(TileLoop):
    """Results of splits are bfloat16 between the passes (MLX #3099)."""

    def finalize(self, problem: Problem, state: State) -> Part:
        part = super().finalize(problem, state)
        return Part(part.out.bfloat16().float(), part.lse)


@plant("precision")
class LseInBfloat16(TileLoop):
    """The LSE is rounded to bfloat16 before it is written (Transformer Engine #1546)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_lse(problem, lse, lane, rows, Part(part.out, part.lse.bfloat16().float()))


@plant("precision")
class LseInFloat16(TileLoop):
    """The LSE is rounded to float16 before it is written (Transformer Engine #1546)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_lse(problem, lse, lane, rows, Part(part.out, part.lse.half().float()))


@plant("sign bias")
class ProbabilitiesCut(TileLoop):
    """Probabilities are cut instead of rounded, so that every output is too small (arXiv 2510.04212)."""

    def probabilities(self, problem: Problem, weights: Tensor) -> Tensor:
        return toward_zero(weights, problem.dtype)


@plant("sign bias")
class OutCut(TileLoop):
    """The output is cut instead of rounded (arXiv 2510.04212)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_out(problem, out, lane, rows, Part(toward_zero(part.out, out.dtype), part.lse))
