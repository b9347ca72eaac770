"""The kinds of bugs that an attention kernel can have."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "tail",
    "lost keys",
    "leaked keys",
    "causal diagonal",
    "empty rows",
    "lse base",
    "lse shift",
    "lse scale",
    "lse unwritten",
    "lse order",
    "rescale",
    "split lost",
    "merge",
    "scale",
    "head mapping",
    "strides",
    "stale state",
    "head dim",
    "unwritten rows",
    "precision",
    "sign bias",
    "overflow",
    "out of bounds",
    "inputs written",
    "not finite",
    "null",
    "delta",
    "window",
    "logits",
    "sink",
]
"""What is wrong with a kernel, in one or two words: planted in a mutant, named by a diagnosis.

"null" is a result that is no attention at all: zeros, the mean of the values, the scaled query. "delta" is the row sum
of grad_out * out in a backward pass, "window" where a sliding window lies, "logits" what softcap, ALiBi or a bias makes
of the scores, "sink" the logit without a value.
"""

FAMILIES: tuple[frozenset[Kind], ...] = (
    frozenset({"tail", "lost keys", "split lost"}),
    frozenset({"leaked keys", "causal diagonal", "window"}),
    frozenset({"lse base", "lse shift", "lse scale"}),
    frozenset({"unwritten rows", "stale state", "out of bounds"}),
    frozenset({"overflow", "not finite"}),
)
"""Kinds that one bug may be called on cases of other sizes."""


def family_of(kind: Kind) -> frozenset[Kind]:
    """The kinds that a bug of this kind may be called elsewhere, itself among them."""
    return next((family for family in FAMILIES if kind in family), frozenset({kind}))
