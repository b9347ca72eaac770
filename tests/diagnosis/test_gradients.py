"""Every mutant of the backward pass is named, and nothing is named that the gradients do not show."""

from __future__ import annotations

import math

import pytest
from failing import diagnosis_of, failed_cell, phrase_of
from torch import Tensor

from pytest_attn.diagnosis.diagnose import HYPOTHESES_OF_GRADIENTS
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop, Kept
from pytest_attn.selfcheck.mutants.catalog import mutants
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import Mutant

CAUSAL = "b1-h2-kv1-s131-d16-float32-scale0p3-causal-grad-exact"
GROUPS = "b1-h4-kv2-s131-d16-float32-scale0p3-grad-exact"
NEGATIVE = "b1-h2-kv1-s131-d16-float32-scale0p3-negative-grad-exact"
STRIDED = "b1-h2-kv1-s131-d16-float32-scale0p3-strided-grad-exact"
AGAIN = "b1-h2-kv1-s131-d16-float32-scale0p3-grad-again"
NAMED: dict[str, tuple[str, str]] = {
    "delta-missing": (CAUSAL, "dS is P dP: delta, the row sum of dO out, is not subtracted"),
    "delta-added": (CAUSAL, "delta, the row sum of dO out, is added to dP, not subtracted"),
    "delta-of-next-head": (
        CAUSAL,
        "each head reads delta of the next, or each head reads delta of the one before",
    ),
    "delta-of-first-tile": (CAUSAL, "every tile of 128 queries reads delta of the first"),
    "delta-in-input-type": (CAUSAL, "delta is rounded to bfloat16"),
    "backward-lse-of-first-tile": (CAUSAL, "every tile of 128 queries reads the LSE of the first"),
    "backward-weights-in-base-two": (CAUSAL, "P is 2^(s - lse) in the backward pass: log2(e) is missing"),
    "scale-missing-in-dq": (CAUSAL, "dq is not multiplied with the softmax scale"),
    "scale-missing-in-dk": (CAUSAL, "dk is not multiplied with the softmax scale"),
    "backward-scale-of-head-dim": (
        CAUSAL,
        "logits of the backward pass have the scale 1 / sqrt(head_dim), not the one given",
    ),
    "backward-diagonal-one-too-far": (CAUSAL, "the causal diagonal of the backward pass lies one key too far"),
    "backward-diagonal-one-short": (CAUSAL, "the causal diagonal of the backward pass lies one key too short"),
    "dv-of-unmasked-weights": (CAUSAL, "the causal mask is ignored in the backward pass"),
    "backward-padding-scores-zero": (
        NEGATIVE,
        "dq is not finite where exp(-lse) overflows: padding keys have the logit 0 in the backward pass, not -inf",
    ),
    "backward-last-key-tile-dropped": (CAUSAL, "the last tile of 64 keys is left out of the backward pass"),
    "last-query-tile-gives-nothing": (CAUSAL, "the last 3 queries, less than a tile, give no gradients"),
    "last-head-of-group-alone": (CAUSAL, "dk and dv are those of the last query head of a group, not the sum"),
    "group-summed-by-modulo": (GROUPS, "query head h adds to dk and dv of key head h modulo their number"),
    "score-gradients-in-bfloat16": (CAUSAL, "dS is rounded to bfloat16"),
    "running-gradients-in-bfloat16": (CAUSAL, "gradients are kept in bfloat16 between tiles"),
    "gradients-not-zeroed": (CAUSAL, "gradients are added to memory that nobody has set to 0"),
    "grad-out-taken-for-contiguous": (
        STRIDED,
        "right where query, key, value and grad_out are contiguous, wrong with strides of their own",
    ),
    "half-of-value-in-dp": (CAUSAL, "dP sees the first 8 of 16 columns of value and dO"),
    "dk-of-weights": (CAUSAL, "dk is made of P, not of dS"),
    "tiles-in-another-order-each-call": (AGAIN, "run alone on the same inputs, the kernel is right"),
}


def test_every_mutant_of_the_backward_pass_has_a_phrase() -> None:
    assert list(NAMED) == [mutant.name for mutant in mutants() if mutant.family == "gradients"]


@pytest.mark.parametrize("mutant", [mutant for mutant in mutants() if mutant.name in NAMED], ids=lambda each: each.name)
def test_a_mutant_is_named(mutant: Mutant) -> None:
    case, phrase = NAMED[mutant.name]
    assert phrase_of(mutant.kernel, case) == phrase


def test_two_bugs_at_once_are_not_taken_for_one() -> None:
    class Both(BackwardLoop):
        def score_gradients(self, weights: Tensor, products: Tensor, delta: Tensor) -> Tensor:
            return weights * products

        def add_dk(self, problem: Problem, score_gradients: Tensor, query: Tensor, weights: Tensor) -> Tensor:
            return score_gradients.mT @ query

    assert diagnosis_of(Both, CAUSAL) is None


def test_a_gradient_that_is_a_little_off_is_no_rounding() -> None:
    class Larger(BackwardLoop):
        def gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
            dq, dk, dv = super().gradients(problem, inputs, forward)
            return Gradients(dq * 1.003, dk, dv)

    assert diagnosis_of(Larger, CAUSAL) is None


def test_two_bugs_that_a_case_cannot_tell_apart_are_both_told() -> None:
    class Nothing(BackwardLoop):
        def backward_key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
            return []

    words = "all gradients are 0, or the last 65 queries, less than a tile, give no gradients"
    assert phrase_of(Nothing, "b1-h1-s65-d16-float32-grad-exact") == words


def test_no_hypothesis_accounts_for_a_correct_kernel() -> None:
    red = Verdict((Finding(what="dq_row_rms", tensor="dq", words="wrong"),), {"dq_row_rms_share": 1.1})
    evidence = Evidence(failed_cell(BackwardLoop, CAUSAL).subject, red, TimeBox(60))
    assert [each.__name__ for each in HYPOTHESES_OF_GRADIENTS if each(evidence)] == ["repeated"]


class Overwriting(BackwardLoop):
    """Each tile is stored over the one before."""

    def add_tile(
        self,
        problem: Problem,
        inputs: Inputs,
        kept: Kept,
        sums: Gradients,
        lane: Lane,
        rows: range,
        keys: range,
    ) -> None:
        sums.dq[lane.batches, lane.heads, rows.start : rows.stop] = 0.0
        super().add_tile(problem, inputs, kept, sums, lane, rows, keys)


class Signed(BackwardLoop):
    def gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
        dq, dk, dv = super().gradients(problem, inputs, forward)
        return Gradients(-dq, dk, dv)


class Exchanged(BackwardLoop):
    def gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
        dq, dk, dv = super().gradients(problem, inputs, forward)
        return Gradients(dq, dv, dk)


class RoundedProducts(BackwardLoop):
    def weight_gradients(self, grad_out: Tensor, value: Tensor) -> Tensor:
        return super().weight_gradients(grad_out, value).bfloat16().float()


class Undivided(BackwardLoop):
    def weights(self, scores: Tensor, lse: Tensor) -> Tensor:
        return (scores - scores.amax(dim=3, keepdim=True)).exp()


class LseInBaseTwo(BackwardLoop):
    def load_lse(self, kept: Kept, lane: Lane, rows: range) -> Tensor:
        return super().load_lse(kept, lane, rows) / math.log(2)


class ScaledTwice(BackwardLoop):
    def add_dk(self, problem: Problem, score_gradients: Tensor, query: Tensor, weights: Tensor) -> Tensor:
        return super().add_dk(problem, score_gradients, query, weights) * problem.scale


ONE_TILE = "b1-h2-kv1-s61-d16-float32-scale0p3-grad-exact"
BY_HAND: dict[str, tuple[type[BackwardLoop], str, str]] = {
    "overwritten": (
        Overwriting,
        CAUSAL,
        "dq is that of the last tile of 64 keys alone: tiles are stored, not added",
    ),
    "sign": (Signed, CAUSAL, "dq has the wrong sign"),
    "exchanged": (Exchanged, CAUSAL, "dk and dv are in each other's place"),
    "dP": (RoundedProducts, CAUSAL, "dP is rounded to bfloat16"),
    "sum": (Undivided, ONE_TILE, "P is exp(s - maximum) in the backward pass: not divided by its sum"),
    "base": (LseInBaseTwo, CAUSAL, "the LSE is in base 2, and the backward pass takes it for a natural one"),
    "scale": (ScaledTwice, CAUSAL, "dk is multiplied twice with the softmax scale"),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_bug_is_named(name: str) -> None:
    kernel, case, phrase = BY_HAND[name]
    assert phrase_of(kernel, case) == phrase


def test_a_few_rows_that_are_far_off_are_no_rounding() -> None:
    class OneRow(BackwardLoop):
        def gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
            dq, dk, dv = super().gradients(problem, inputs, forward)
            dq[:, :, 7] *= 1.5
            return Gradients(dq, dk, dv)

    assert diagnosis_of(OneRow, CAUSAL) is None
