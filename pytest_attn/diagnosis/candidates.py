"""Numerics that a kernel may have and not have declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from pytest_attn.judge.budget.precision import precision
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.problem import Problem

STORED = ("probabilities", "values", "scale", "logits", "accumulator", "split_parts", "stored_lse")
"""Fields of `Numerics` that name a precision, and None that of sums."""

ROUNDED = ("scaled_query", "unscaled_logits", "shifted_logits", "sinks", "stored_accumulator")
"""Fields of `Numerics` that name a precision, and None no rounding."""

FIELDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("logits='input'", "stores its scores in the input dtype", {"logits": "input"}),
    (
        "unscaled_logits='input'",
        "stores query . key in the input dtype before it is scaled",
        {"unscaled_logits": "input"},
    ),
    (
        "shifted_logits='input'",
        "stores its scores, less their maximum, in the input dtype",
        {"shifted_logits": "input"},
    ),
    ("scaled_query='input'", "stores query times scale in the input dtype", {"scaled_query": "input"}),
    ("scale='input'", "rounds the scale to the input dtype", {"scale": "input"}),
    ("products='tf32'", "multiplies in TF32", {"products": "tf32"}),
    ("probabilities='input'", "stores its weights in the input dtype", {"probabilities": "input"}),
    ("stored_accumulator='input'", "stores its output after each tile", {"stored_accumulator": "input"}),
    (
        "split=True, split_parts='input'",
        "merges parts that it stored in the input dtype",
        {"split": True, "split_parts": "input"},
    ),
)
"""Single fields: how each is written, what a kernel does that has it, and its value."""


class Candidate(NamedTuple):
    """Numerics that a kernel may have left undeclared: how they are written, and what a kernel does that has them.

    `place`: how much it declares, single fields first; `named_set`: whether it replaces all that is declared.
    """

    written: str
    does: str
    numerics: Numerics
    place: int
    named_set: bool = False


def candidates(own: Numerics, problem: Problem) -> Iterator[Candidate]:
    """What differs from a kernel's own numerics in what it comes to for a problem."""
    found = [*_fields(own, problem), *(_gradients(own) if problem.wants_grad else ())]
    every = [
        Candidate(written, does, numerics, place, named_set=place >= len(found))
        for place, (written, does, numerics) in enumerate([*found, *_sets(own)])
        if _arithmetic(numerics, problem) != _arithmetic(own, problem)
    ]
    # Budgets of gradients take long: what most such kernels are comes first.
    return iter(every[::-1] if problem.wants_grad else every)


def _arithmetic(numerics: Numerics, problem: Problem) -> tuple[object, ...]:
    """What numerics come to for a problem: "input" is no other precision where inputs are as precise as sums.

    Merging parts is left out: as what they are stored in, it is suggested together with that.
    """
    backward = numerics.backward
    fields = [getattr(numerics, name) for name in ("products", "normalized", "exp_error", "chain", "row_chain")]
    stored = [getattr(numerics, name) for name in STORED]
    # None is the precision of sums in some fields; in these it is no rounding at all.
    rounded = [getattr(numerics, name) for name in ROUNDED]
    if problem.wants_grad:
        fields += [backward.delta_of, backward.weights_of, backward.shared_gradients]
        stored += [backward.score_gradients, backward.grouped_gradients]
        rounded += [backward.probability_gradients, backward.scaled_score_gradients, backward.stored_gradients]
    once = (None if name is None else precision(name, problem) for name in rounded)
    return (*fields, *(precision(name, problem) for name in stored), *once)


def _fields(own: Numerics, problem: Problem) -> Iterator[tuple[str, str, Numerics]]:
    for written, does, fields in FIELDS:
        yield written, does, replace(own, **fields)
    if problem.dtype.itemsize < torch.float32.itemsize:
        # In float32 such an exponential would hide nearly every bug of the last bits.
        yield "exp_error=7e-5", "has a fast exponential", replace(own, exp_error=max(7e-5, own.exp_error or 0.0))
    if problem.variant("sinks") is not None:
        yield "sinks='input'", "rounds its sinks to the input dtype", replace(own, sinks="input")
    if problem.wants_lse:
        yield "stored_lse='input'", "rounds its LSE to the input dtype", replace(own, stored_lse="input")


def _gradients(own: Numerics) -> Iterator[tuple[str, str, Numerics]]:
    backward = own.backward
    stored = replace(backward, stored_gradients="input")
    written = "backward=BackwardNumerics(stored_gradients='input')"
    yield written, "adds each tile to gradients of the input dtype", replace(own, backward=stored)
    yield (
        "backward=BackwardNumerics(stored_gradients='input', shared_gradients=True)",
        "adds the tiles of all heads of a group to gradients of the input dtype",
        replace(own, backward=replace(stored, shared_gradients=True)),
    )
    yield (
        "backward=Numerics.of_torch_eager().backward",
        "leaves its gradients to autograd of eager attention",
        replace(own, backward=Numerics.of_torch_eager().backward),
    )


def _sets(own: Numerics) -> Iterator[tuple[str, str, Numerics]]:
    def chained(numerics: Numerics) -> Numerics:
        return replace(numerics, chain=own.chain, row_chain=own.row_chain)

    eager, scaled = Numerics.of_torch_eager, Numerics.of_scaled_query
    yield "Numerics.of_torch_eager()", "is eager attention in the input dtype", chained(eager())
    yield (
        "Numerics.of_torch_eager(scale='input')",
        "is eager attention with a scalar scale",
        chained(eager(scale="input")),
    )
    yield "Numerics.of_scaled_query()", "is eager attention that scales its query first", chained(scaled())
    yield (
        "Numerics.of_scaled_query(scale='input')",
        "is eager attention that scales its query first, by a scalar of the input dtype",
        chained(scaled(scale="input")),
    )
