"""Every kind of bug that can be planted is named."""

from __future__ import annotations

from typing import get_args

import pytest
from failing import diagnosis_of

from pytest_attn.problem.kinds import Kind
from pytest_attn.selfcheck.mutants.catalog import find_mutants

PLANTED: dict[Kind, tuple[str, str]] = {
    "tail": ("last-tile-unmasked", "b1-h2-s65x100-d32-float32-both-exact"),
    "lost keys": ("first-key-dropped", "b1-h2-s65x100-d32-float32-both-exact"),
    "leaked keys": ("causal-ignored", "b1-h2-s65x100-d32-float32-causal-both-exact"),
    "causal diagonal": ("diagonal-one-too-far", "b1-h2-s65x100-d32-float32-causal-both-exact"),
    "empty rows": ("empty-rows-plus-infinity", "b1-h2-s100x65-d32-float32-causal-both-exact"),
    "lse base": ("lse-in-base-two", "b1-h2-s65x100-d32-float32-both-exact"),
    "lse shift": ("lse-shifted-by-constant", "b1-h2-s65x100-d32-float32-both-exact"),
    "lse scale": ("lse-of-unscaled-logits", "b1-h2-s65x100-d32-float32-both-exact"),
    "lse unwritten": ("lse-never-written", "b1-h2-s65x100-d32-float32-both-exact"),
    "lse order": ("lse-rows-shifted", "b1-h2-s65x100-d32-float32-both-exact"),
    "rescale": ("acc-not-rescaled", "b1-h1-s65x300-d32-float32-both-exact"),
    "split lost": ("last-split-lost", "b1-h1-s65x300-d32-float32-both-exact"),
    "merge": ("merge-of-equal-shares", "b1-h1-s65x300-d32-float32-both-exact"),
    "scale": ("scale-missing", "b1-h2-s65x100-d32-float32-both-exact"),
    "head mapping": ("key-head-by-modulo", "b1-h4-kv2-s65x100-d32-float32-both-exact"),
    "strides": ("key-taken-for-contiguous", "b1-h2-s65x100-d32-float32-strided-both-exact"),
    "stale state": ("scale-of-first-call", "b1-h2-s65x100-d32-float32-both-sequence"),
    "head dim": ("head-dim-is-sixty-four", "b1-h2-s65x100-d80-float32-both-exact"),
    "unwritten rows": ("last-rows-unwritten", "b1-h2-s65x100-d32-float32-both-exact"),
    "precision": ("acc-in-bfloat16", "b1-h2-s65x300-d32-float32-both-exact"),
    "sign bias": ("out-cut", "b2-h3-s131-d64-bfloat16-both-exact"),
    "overflow": ("key-count-in-uint8", "b1-h1-s65x300-d32-float32-both-exact"),
    "out of bounds": ("value-read-beyond", "b1-h1-s65x100-d32-float32-both-exact"),
    "inputs written": ("query-scaled-in-place", "b1-h2-s65x100-d32-float32-both-exact"),
    "not finite": ("some-not-a-number", "b1-h2-s65x100-d32-float32-both-exact"),
    "null": ("mean-of-values", "b1-h2-s65x100-d32-float32-both-exact"),
    "delta": ("delta-missing", "b1-h2-s65x100-d16-float32-grad-exact"),
    "window": ("window-ignored", "b1-h2-s65x100-d16-float32-win40x0-both-exact"),
    "logits": ("softcap-forgotten", "b1-h2-s65x100-d16-float32-softcap2-both-exact"),
    "sink": ("sink-forgotten", "b1-h2-s65x100-d16-float32-sinks-both-exact"),
}


def test_there_is_a_bug_of_every_kind() -> None:
    assert set(PLANTED) == set(get_args(Kind))


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_bug_is_named_by_its_kind(kind: Kind) -> None:
    name, case = PLANTED[kind]
    found = diagnosis_of(find_mutants([name])[0].kernel, case)
    assert found is not None
    assert found.kind == kind, found.phrase
