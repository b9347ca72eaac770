"""Mutants that are right on numbers of usual size: each dies where they are saturated, cancelling or huge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.problem.case import Case
from pytest_attn.selfcheck.mutants import extremes
from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
from pytest_attn.selfcheck.mutants.matrix import Found, Piece, find_kills

HUGE = (
    "b2-h4-kv2-s65x129-d64-float32-causal-hugelogit-both-exact",
    "b1-h2-s5x300-d80-bfloat16-hugelogit-out-exact",
    "b1-h1-s1x600-d128-float16-hugelogit-both-exact",
)
HIDDEN = (HUGE[0], "b1-h1-s65-d64-bfloat16-causal-hugelogit-out-exact")
UNSHIFTED = (
    "b2-h4-kv2-s65x129-d64-float32-causal-saturating-both-exact",
    "b1-h2-s5x300-d80-bfloat16-saturating-out-exact",
    "b1-h1-s1x600-d128-float16-saturating-both-exact",
)
VALUES = (
    "b2-h4-kv2-s65x129-d64-float32-causal-hugevalue-both-exact",
    "b1-h2-s5x300-d80-bfloat16-hugevalue-out-exact",
    "b1-h1-s1x600-d128-float16-hugevalue-both-exact",
)
CANCELLING = (
    "b2-h4-kv2-s65x129-d64-float32-causal-cancelling-both-exact",
    "b1-h2-s5x300-d80-bfloat16-cancelling-out-exact",
    "b1-h1-s1x600-d128-float16-cancelling-both-exact",
    "b1-h2-s65x129-d64-float16-cancelling-lse-exact",
)
CAPPED = (
    "b2-h4-kv2-s65x129-d64-float32-causal-softcap30-saturating-both-exact",
    "b1-h2-s5x300-d80-bfloat16-softcap2-saturating-out-exact",
    "b1-h1-s1x600-d128-float16-softcap50-saturating-both-exact",
    "b3-h2-s65x129-d40-float16-ragged-softcap30-saturating-lse-exact",
)
KILLED = {
    "tangent-of-exponentials": CAPPED,
    "logits-summed-in-bfloat16": CANCELLING,
    "product-in-float16": HUGE,
    "scaled-logit-in-float16": HUGE,
    "values-summed-in-float16": VALUES,
    "values-cut-at32768": VALUES,
    "maximum-starts-at-minus10000": HUGE,
    "maximum-starts-at-minus65504": HUGE,
    "hidden-logit-of-minus50000": HIDDEN,
    "logits-not-shifted": UNSHIFTED,
}
"""The cases that kill each mutant."""

CELLS = [(name, case) for name, cases in KILLED.items() for case in cases]


def found_on(name: str, case: Case) -> Found:
    return find_kills(Piece(find_mutants([name]), (case,), {"test": DERIVED}))


def test_every_mutant_of_extreme_numbers_has_cases() -> None:
    assert list(KILLED) == [mutant.name for mutant in mutants() if mutant.kernel.__module__ == extremes.__name__]


@pytest.mark.parametrize(("name", "case"), CELLS)
def test_a_mutant_dies_on_numbers_made_for_it(name: str, case: str) -> None:
    found = found_on(name, Case.parse(case))
    assert [kill.case for kill in found.killed.values()] == [case]


@pytest.mark.parametrize(("name", "case"), CELLS)
def test_a_mutant_lives_on_normal_numbers(name: str, case: str) -> None:
    found = found_on(name, replace(Case.parse(case), recipe="normal"))
    assert (found.killed, found.unfit) == ({}, ())
