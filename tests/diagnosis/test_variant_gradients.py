"""Bugs of the backward pass of windows and of sequences of unequal length are named."""

from __future__ import annotations

import pytest
from failing import diagnosis_of, phrase_of
from torch import Tensor
from variant_cases import BACKWARD_WINDOW, KILLED_ON

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.catalog import find_mutants
from pytest_attn.selfcheck.mutants.variant_backward_loop import VariantBackwardLoop

FIRST_LENGTH = (
    "seqused_k is ignored, in the backward pass, or every sequence has as many keys as the first, in the backward pass"
)
NAMED: dict[str, str] = {
    "window-forgotten-backward": (
        "window_size is ignored, in the backward pass, or the first tile of 128 keys of a window is attended to whole, "
        "in the backward pass"
    ),
    "window-one-too-far-backward": "the window reaches 1 key too far to the left, in the backward pass",
    "window-tiles-of-last-row-backward": (
        "tiles of 64 keys are skipped that lie before the window of the last row of a tile, in the backward pass"
    ),
    "padding-attended-backward": FIRST_LENGTH,
    "length-of-first-batch-backward": FIRST_LENGTH,
    "last-packed-key-left-out-backward": (
        "the last key of each sequence is left out, in the backward pass, or the diagonal lies one key too short, in "
        "the backward pass"
    ),
    "last-packed-query-left-out-backward": "the last query of each sequence gives no gradients, and has none",
}
UNNAMED = ("forward-of-padded-place",)


def test_every_mutant_has_a_phrase_or_none() -> None:
    assert [*NAMED, *UNNAMED] == [name for name, case in KILLED_ON.items() if case.ask == "grad"]


@pytest.mark.parametrize("name", NAMED)
def test_a_mutant_is_named(name: str) -> None:
    (mutant,) = find_mutants([name])
    assert phrase_of(mutant.kernel, KILLED_ON[name].id) == NAMED[name]


@pytest.mark.parametrize("name", UNNAMED)
def test_what_no_guess_gives_has_no_phrase(name: str) -> None:
    (mutant,) = find_mutants([name])
    assert diagnosis_of(mutant.kernel, KILLED_ON[name].id) is None


def test_gradients_of_padding_alone_are_named() -> None:
    (mutant,) = find_mutants(["padding-attended-backward"])
    found = phrase_of(mutant.kernel, "b3-h1-s65-d64x32-float32-causal-ragged-onehotgrad-grad-exact")
    assert found == FIRST_LENGTH


def test_a_step_that_is_wrong_beside_a_window_is_named() -> None:
    class WithoutDelta(VariantBackwardLoop):
        def score_gradients(self, weights: Tensor, products: Tensor, delta: Tensor) -> Tensor:
            return weights * products

    assert phrase_of(WithoutDelta, BACKWARD_WINDOW.id) == "dS is P dP: delta, the row sum of dO out, is not subtracted"


def test_a_window_that_both_passes_ignore_is_of_no_single_pass() -> None:
    (mutant,) = find_mutants(["window-ignored"])

    class Ignored(VariantBackwardLoop):
        window = mutant.kernel.window
        backward_window = mutant.kernel.window

    found = phrase_of(Ignored, BACKWARD_WINDOW.id)
    assert found.startswith("window_size is ignored")
    assert "backward" not in found


def test_another_bug_is_not_taken_for_one_of_the_window() -> None:
    class Squared(VariantBackwardLoop):
        def backward_scores(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
            return super().backward_scores(problem, query, key) * 1.07

    assert diagnosis_of(Squared, BACKWARD_WINDOW.id) is None
