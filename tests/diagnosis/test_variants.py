"""Every mutant of a variant is named, and nothing is named that the case does not show."""

from __future__ import annotations

import pytest
from failing import diagnosis_of, failed_cell, phrase_of
from torch import Tensor
from variant_cases import KILLED_ON, SLOPED, WINDOW

from pytest_attn.diagnosis.diagnose import HYPOTHESES_OF_VARIANTS
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.lengths import DiagonalOfPaddedEnd
from pytest_attn.selfcheck.mutants.variant_loop import OneSequence, VariantLoop

PHRASES: dict[str, str] = {
    "window-one-short-on-the-left": "the window reaches 1 key too short to the left",
    "window-one-too-far-on-the-left": "the window reaches 1 key too far to the left",
    "window-one-short-on-the-right": "the window reaches 1 key too short to the right",
    "window-one-too-far-on-the-right": "the window reaches 1 key too far to the right",
    "window-ignored": "window_size is ignored, or the first tile of 128 keys of a window is attended to whole",
    "window-only-with-causal": "window_size is ignored",
    "window-sides-swapped": "left and right of the window are exchanged",
    "window-of-none-to-the-left": (
        "a side of 0 keys is taken for one without a limit, or the first tile of 128 keys of a window is attended to "
        "whole"
    ),
    "window-top-left": "the window lies around key i of query i (top-left), expected bottom-right",
    "window-forgotten-on-last-tile": (
        "the window is ignored on the last tile of 64 keys, or the window is ignored on the last tile of 128 keys"
    ),
    "window-forgotten-on-first-tile": "the first tile of 64 keys of a window is attended to whole",
    "window-tiles-of-last-row": "tiles of 64 keys are skipped that lie before the window of the last row of a tile",
    "window-without-causal": "the causal mask is forgotten beside the variant",
    "length-of-first-batch": "seqused_k is ignored, or every sequence has as many keys as the first",
    "length-one-more": "sequences have 1 key too many: padding is attended to",
    "length-one-less": "the last key of each sequence is left out, or the diagonal lies one key too short",
    "padding-attended": "seqused_k is ignored, or every sequence has as many keys as the first",
    "length-of-whole-tiles": "sequences are rounded up to whole tiles of 64 keys: padding is attended to",
    "length-of-whole-pages": (
        "the last page of 16 keys is attended to whole, or sequences are rounded up to whole tiles of 16 keys: padding "
        "is attended to"
    ),
    "length-at-least-one": "a sequence without keys is taken to have one",
    "diagonal-of-padded-end": "the causal diagonal ends at the last key that there is room for, not of the sequence",
    "keys-of-next-sequence": "the keys of each sequence begin and end one token late",
    "last-packed-key-left-out": "the last key of each sequence is left out, or the diagonal lies one key too short",
    "keys-by-query-ends": "keys are found by the ends of the queries",
    "pages-of-first-batch": "every sequence reads the pages of the first",
    "pages-in-order-of-pool": "the table of pages is not read: each sequence has neighbouring pages",
    "page-of-next-tile": "each page but the first is read at the place of the one before",
    "softcap-forgotten": "softcap is ignored",
    "softcap-after-mask": "logits are capped after they are masked: hidden keys have the logit -cap",
    "softcap-twice": "logits are capped twice",
    "softcap-not-multiplied-back": "the tangent of capped logits is not multiplied with the cap",
    "softcap-of-unscaled-logits": "logits are capped before they are scaled",
    "softcap-for-scale": "the softmax scale is missing",
    "softcap-clamps": "logits are cut off at the cap",
    "slope-of-next-head": "each head reads alibi_slopes of the next head",
    "slope-of-key-head": "each head reads alibi_slopes of the number of its key head",
    "slopes-in-half-precision": "alibi_slopes is rounded to bfloat16",
    "alibi-of-other-sign": (
        "logits grow with the distance: ALiBi has the wrong sign, or the distance of ALiBi has a sign: a key before "
        "its query is nearer than one beside it"
    ),
    "alibi-forgotten": "alibi_slopes is ignored",
    "alibi-of-signed-distance": "the distance of ALiBi has a sign: a key behind its query is nearer than one beside it",
    "alibi-one-off": "the distance of ALiBi counts from the key before a query's own",
    "alibi-top-left": "the distance of ALiBi counts query i as standing at key i (top-left)",
    "alibi-of-padded-end": "the distance of ALiBi counts to the last key of the tensor, not of the sequence",
    "bias-forgotten": "attn_bias is ignored",
    "bias-scaled": "attn_bias is multiplied with the softmax scale",
    "bias-of-zero-hides": "keys of a bias of 0 are hidden",
    "bias-before-softcap": "logits are capped after all other changes",
    "bias-of-first-batch": "every batch reads attn_bias of the first",
    "bias-of-first-head": "each head reads attn_bias of the first head",
    "bias-in-half-precision": "attn_bias is rounded to bfloat16",
    "bias-transposed": "the bias is read as if it lay column by column",
    "bias-one-key-off": "each key has the bias of the one before it",
    "sink-forgotten": "sinks is ignored",
    "sink-in-numerator": "the sink has a value of ones",
    "sink-not-in-lse": "the sink takes weight from the output and is not in the LSE",
    "sink-in-lse-alone": "the sink is in the LSE and takes no weight from the output",
    "sink-only-beside-keys": "rows without keys have no sink",
    "sink-not-exponentiated": "the sink itself is added to the sum of exponentials, not its exponential",
    "sink-scaled": "sinks is multiplied with the softmax scale",
    "sink-in-base-two": "the sink is taken for an exponent of 2",
    "sink-of-every-split": "the sink counts 2 times, as of 2 splits",
    "sink-of-next-head": "each head reads sinks of the next head",
    "sink-of-key-head": "each head reads sinks of the number of its key head",
}


def test_every_mutant_of_a_forward_pass_of_a_variant_has_a_phrase() -> None:
    assert list(PHRASES) == [name for name, case in KILLED_ON.items() if case.ask != "grad"]


@pytest.mark.parametrize("name", PHRASES)
def test_a_mutant_is_named(name: str) -> None:
    (mutant,) = find_mutants([name])
    assert phrase_of(mutant.kernel, KILLED_ON[name].id) == PHRASES[name]


def test_another_bug_is_not_taken_for_a_mistake_about_the_variant() -> None:
    class Squared(VariantLoop):
        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            return super().scores(query, key).square()

    assert diagnosis_of(Squared, SLOPED.id) is None


def test_two_mistakes_that_a_case_cannot_tell_apart_are_both_told() -> None:
    class Short(VariantLoop):
        def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
            return super().later(problem, query - 1, key)

    found = diagnosis_of(Short, WINDOW.id)
    assert found == Diagnosis(
        "window",
        "the window reaches 1 key too short to the right",
        alternatives=("the diagonal lies one key too short",),
    )


def test_no_hypothesis_accounts_for_a_correct_kernel() -> None:
    red = Verdict((Finding(what="out_row_rms", tensor="out", words="wrong"),), {"out_row_rms_share": 1.1})
    evidence = Evidence(failed_cell(VariantLoop, SLOPED.id).subject, red, TimeBox(60))
    named = [hypothesis.__name__ for hypothesis in HYPOTHESES_OF_VARIANTS if hypothesis(evidence)]
    assert named == ["repeated"]


def test_the_first_length_and_the_room_are_both_told_where_they_are_one() -> None:
    (mutant,) = find_mutants(["padding-attended"])
    words = phrase_of(mutant.kernel, "b4-h2-s5x131-d16-float32-causal-paged64-both-exact")
    assert words == "every sequence has as many keys as the first, or padding is attended to: key lengths are ignored"


def test_a_mistake_that_a_bias_has_no_numbers_for_is_passed_over() -> None:
    (mutant,) = find_mutants(["bias-forgotten"])
    words = phrase_of(mutant.kernel, "b3-h2-s5x131-d16-float32-paged64-bias1x1-both-exact")
    assert words == "attn_bias is ignored"


def test_queries_that_no_sequence_has_say_nothing() -> None:
    (mutant,) = find_mutants(["sink-of-next-head"])
    words = phrase_of(mutant.kernel, "b3-h2-s5x40-d16-float32-packed-sinks-both-exact")
    assert words == "each head reads sinks of the next head, or each head reads sinks of the head before"


class WindowOfLongest(VariantLoop):
    """The window of each sequence lies as in the longest."""

    def center(self, problem: Problem) -> int:
        assert isinstance(problem, OneSequence)
        return problem.room.key - problem.room.query


class AllOfLongest(WindowOfLongest):
    """So does the causal diagonal."""

    def diagonal(self, problem: Problem) -> int:
        return self.center(problem)


REST = "as in the longest, at another offset than its own lengths give"


@pytest.mark.parametrize("form", ["ragged", "packed", "paged16"])
def test_windows_that_lie_as_in_the_longest_sequence_are_named(form: str) -> None:
    case = f"b4-h2-s65x129-d16-float32-win40x9-{form}-both-exact"
    assert phrase_of(WindowOfLongest, case) == f"the window of each sequence lies {REST}"


@pytest.mark.parametrize("form", ["ragged", "packed", "paged16"])
def test_window_and_diagonal_that_lie_as_in_the_longest_sequence_are_named(form: str) -> None:
    case = f"b7-h2-s65x129-d16-float32-causal-win40x0-{form}-both-exact"
    assert phrase_of(AllOfLongest, case) == f"window and causal diagonal of each sequence lie {REST}"


def test_the_longest_and_top_left_are_both_told_where_they_are_one() -> None:
    words = phrase_of(WindowOfLongest, "b4-h2-s129-d16-float32-win40x9-ragged-both-exact")
    top_left = "the window lies around key i of query i (top-left), expected bottom-right"
    assert words == f"the window of each sequence lies {REST}, or {top_left}"


def test_a_diagonal_that_lies_as_in_the_longest_sequence_and_top_left_are_both_told() -> None:
    words = phrase_of(DiagonalOfPaddedEnd, "b4-h2-s129-d16-float32-causal-ragged-both-exact")
    longest = "the causal diagonal ends at the last key that there is room for, not of the sequence"
    assert words == f"{longest}, or the causal diagonal is top-left, expected bottom-right"


def test_a_window_that_is_top_left_is_not_taken_for_one_of_the_longest() -> None:
    (mutant,) = find_mutants(["window-top-left"])
    words = phrase_of(mutant.kernel, "b4-h2-s65x129-d16-float32-win40x9-ragged-both-exact")
    assert words == "the window lies around key i of query i (top-left), expected bottom-right"
