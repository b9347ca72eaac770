"""All mutants, by name."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_attn.selfcheck.mutants import (
    blocks,
    bounds,
    causal,
    dims,
    empty_rows,
    extremes,
    gradients,
    heads,
    lengths,
    logit_changes,
    lse,
    nulls,
    overflow,
    precision,
    rescale,
    scale,
    sinks,
    sizes,
    splits,
    state,
    strides,
    tails,
    variant_gradients,
    windows,
)
from pytest_attn.selfcheck.mutants.mutant import PLANTED, Mutant
from pytest_attn.text import closest

FAMILIES = (
    *(tails, causal, empty_rows, lse, rescale, scale, heads),
    *(strides, state, dims, blocks, precision, overflow, bounds, nulls, gradients),
    *(windows, lengths, logit_changes, sinks, splits, variant_gradients, sizes, extremes),
)
"""The files of mutants, one class of bugs each, in the order in which they are listed."""


def mutants() -> tuple[Mutant, ...]:
    """Every mutant, family by family."""
    order = [family.__name__ for family in FAMILIES]
    return tuple(sorted(PLANTED, key=lambda mutant: order.index(mutant.kernel.__module__)))


def find_mutants(names: Sequence[str]) -> tuple[Mutant, ...]:
    """The mutants of those names. Raises ValueError naming the closest ones."""
    known = {mutant.name: mutant for mutant in mutants()}
    for name in names:
        if name not in known:
            raise ValueError(f"unknown mutant {name!r}; allowed: {closest(name, known)}")
    return tuple(known[name] for name in dict.fromkeys(names))
