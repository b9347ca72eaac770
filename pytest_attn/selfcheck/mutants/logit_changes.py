"""What becomes of the logits between the first product and the softmax: softcap, ALiBi, a bias."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Softcap
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.memory import reread
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.variant_loop import OneSequence, VariantLoop


@plant("logits")
class SoftcapForgotten(VariantLoop):
    """Logits are not capped."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        return scores


@plant("logits")
class SoftcapAfterMask(VariantLoop):
    """Logits are capped after they are masked: a hidden key has the logit -cap (FlashInfer #350)."""

    def logits(
        self, problem: Problem, inputs: Inputs, query: Tensor, key: Tensor, lane: Lane, rows: range, keys: range
    ) -> Tensor:
        logits, softcap = super().logits(problem, inputs, query, key, lane, rows, keys), self.variant(problem, Softcap)
        return logits if softcap is None else logits.clamp_min(-softcap.cap)


@plant("logits")
class SoftcapTwice(VariantLoop):
    """Logits are capped twice."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        return super().capped(problem, super().capped(problem, scores, cap), cap)


@plant("logits")
class SoftcapNotMultipliedBack(VariantLoop):
    """The hyperbolic tangent is not multiplied with the cap."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        return torch.tanh(scores / cap)


@plant("logits")
class SoftcapOfUnscaledLogits(VariantLoop):
    """Logits are capped before they are scaled."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        return super().capped(problem, scores / problem.scale, cap) * problem.scale


@plant("logits")
class SoftcapForScale(VariantLoop):
    """Logits are capped and not scaled."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        return super().capped(problem, scores / problem.scale, cap)


@plant("logits")
class SoftcapClamps(VariantLoop):
    """Logits beyond the cap are cut off, the others stay."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        return scores.clamp(-cap, cap)


@plant("head mapping")
class SlopeOfNextHead(VariantLoop):
    """Each head has the slope of the next."""

    def slopes(self, problem: Problem, slopes: Tensor, lane: Lane) -> Tensor:
        return super().slopes(problem, slopes.roll(-1), lane)


@plant("head mapping")
class SlopeOfKeyHead(VariantLoop):
    """Each head has the slope that stands at the number of its key head."""

    def slopes(self, problem: Problem, slopes: Tensor, lane: Lane) -> Tensor:
        return slopes[self.key_heads(problem, lane)][:, None, None]


@plant("precision")
class SlopesInHalfPrecision(VariantLoop):
    """Slopes are rounded to bfloat16 (vLLM #945)."""

    def slopes(self, problem: Problem, slopes: Tensor, lane: Lane) -> Tensor:
        return super().slopes(problem, slopes, lane).bfloat16().float()


@plant("logits")
class AlibiOfOtherSign(VariantLoop):
    """Logits grow with the distance (flash-attention 6bbc5323)."""

    def sloped(self, scores: Tensor, slopes: Tensor, distance: Tensor) -> Tensor:
        return scores + slopes * distance


@plant("logits")
class AlibiForgotten(VariantLoop):
    """Slopes are not read."""

    def sloped(self, scores: Tensor, slopes: Tensor, distance: Tensor) -> Tensor:
        return scores


@plant("logits")
class AlibiOfSignedDistance(VariantLoop):
    """A key behind its query counts as nearer than one beside it."""

    def distance(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return query + problem.key_length - problem.query_length - key


@plant("logits")
class AlibiOneOff(VariantLoop):
    """Each query counts as standing one key before its own (flash-attention #907)."""

    def distance(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().distance(problem, query - 1, key)


@plant("logits")
class AlibiTopLeft(VariantLoop):
    """Query i counts as standing at key i: in decoding at the first (keras-hub #2861)."""

    def distance(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return (key - query).abs()


@plant("logits")
class AlibiOfPaddedEnd(VariantLoop):
    """Distances are counted to the last key that there is room for, not to the last of the sequence."""

    def distance(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        assert isinstance(problem, OneSequence)
        return (key - query - problem.room.key + problem.room.query).abs()


@plant("logits")
class BiasForgotten(VariantLoop):
    """The bias is not read."""

    def biased(self, problem: Problem, scores: Tensor, bias: Tensor) -> Tensor:
        return scores


@plant("logits")
class BiasScaled(VariantLoop):
    """The bias is added before the scale is applied (Transformer Engine #2300)."""

    def biased(self, problem: Problem, scores: Tensor, bias: Tensor) -> Tensor:
        return scores + bias * problem.scale


@plant("logits")
class BiasOfZeroHides(VariantLoop):
    """A key whose bias is less than 1/256 is taken for one that is masked out (SageAttention 34ea987)."""

    def biased(self, problem: Problem, scores: Tensor, bias: Tensor) -> Tensor:
        return super().biased(problem, scores, bias).masked_fill(bias.abs() < 1 / 256, -torch.inf)


@plant("logits")
class BiasBeforeSoftcap(VariantLoop):
    """The bias is added before logits are capped."""

    def changed(self, problem: Problem, inputs: Inputs, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        if "attn_bias" not in inputs.extras or self.variant(problem, Softcap) is None:
            return super().changed(problem, inputs, scores, lane, rows, keys)
        bias = self.bias(problem, inputs.extras["attn_bias"], lane, rows, keys)
        return super().changed(problem, inputs, scores + bias, lane, rows, keys) - bias


@plant("head mapping")
class BiasOfFirstBatch(VariantLoop):
    """Every batch has the bias of the first."""

    def bias_of(self, bias: Tensor, batch: int) -> Tensor:
        return super().bias_of(bias, 0)


@plant("head mapping")
class BiasOfFirstHead(VariantLoop):
    """Every head has the bias of the first (MLX #1980)."""

    def bias(self, problem: Problem, bias: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        return super().bias(problem, bias[:, :1], lane, rows, keys)


@plant("precision")
class BiasInHalfPrecision(VariantLoop):
    """A bias of float32 is rounded to bfloat16."""

    def bias(self, problem: Problem, bias: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        return super().bias(problem, bias, lane, rows, keys).bfloat16().float()


@plant("strides")
class BiasTransposed(VariantLoop):
    """The bias is read with the strides of its rows and columns exchanged (MLX #1980)."""

    def bias(self, problem: Problem, bias: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        batch, head, _, _ = bias.stride()
        turned = reread(bias, bias.shape, (batch, head, 1, problem.query_length))
        return super().bias(problem, turned, lane, rows, keys)


@plant("logits")
class BiasOneKeyOff(VariantLoop):
    """Each key has the bias of the one before."""

    def bias(self, problem: Problem, bias: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        return super().bias(problem, bias.roll(1, 3), lane, rows, keys)
