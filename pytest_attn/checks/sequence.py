"""Several calls in a row on one kernel: each differs from an earlier one in what a stale cache may have forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

from pytest_attn.checks.check import Check
from pytest_attn.checks.subject import Subject
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, Dense, Mask
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Layout


class Call(NamedTuple):
    """One call of a sequence, and what is new in it."""

    words: str
    problem: Problem
    inputs: Inputs
    layout: Layout | None = None
    """None: the memory of the calls before, filled anew; else memory of its own."""


def sequence(subject: Subject) -> Verdict:
    """All calls, then the verdict on each: the first that is wrong, or the largest figures of all."""
    calls = [call for call in calls_of(subject) if subject.claims(call.problem, call.layout)]
    memory = subject.guarded(subject.inputs)
    results = []
    for call in calls:
        if call.layout is None:
            memory = memory.refill(call.inputs)
        given = memory if call.layout is None else subject.laid_out(call.inputs, call.layout, subject.seed + 1)
        results.append(subject.run_on(call.problem, given))
    judged, shared = zip(calls, results, strict=True), subject.sharing(len(calls))
    return Verdict.first_wrong(
        shared.compare(call.problem, call.inputs, result).of(f"call {number} of {len(calls)} ({call.words})")
        for number, (call, result) in enumerate(judged, start=1)
    )


def calls_of(subject: Subject) -> Iterator[Call]:
    """The calls of a sequence, whether claimed or not; what a call does not say to be other is as in the case."""
    problem, inputs = subject.problem, subject.inputs
    yield Call("the case", problem, inputs)
    yield Call("other data in the same memory", problem, subject.draw(problem, 1))
    scale = problem.scale / 2 or 0.5
    yield Call(f"scale {scale:.4g} after {problem.scale:.4g}", replace(problem, scale=scale), inputs)
    yield from _other_variants(subject)
    # What a variant adds to the mask is not undone by another mask.
    for words, mask in () if problem.variants else _other_masks(problem.mask):
        yield Call(words, replace(problem, mask=mask), inputs)
    yield Call("other strides", problem, inputs, "strided")
    shorter = problem.key_length - problem.key_length // 3
    if shorter < problem.key_length and isinstance(problem.mask, Dense | Causal) and not problem.variants:
        fewer = Inputs(
            inputs.query, inputs.key[:, :, :shorter], inputs.value[:, :, :shorter], f"{inputs.key_of_content}|{shorter}"
        )
        words = f"{shorter} keys after {problem.key_length}"
        yield Call(words, replace(problem, key_length=shorter), fewer, subject.layout)
    yield Call("the case again", problem, inputs)


def _other_variants(subject: Subject) -> Iterator[Call]:
    """Each variant with other values, all else as in the case; one that offers none is left out."""
    problem, inputs = subject.problem, subject.inputs
    for variant in problem.variants:
        other = variant.redrawn()
        if other is None:
            continue
        own = problem.varied(other if each is variant else each for each in problem.variants)
        given = inputs.redrawn(own, subject.seed + 1)
        words = f"other {variant.capability}" if other == variant else f"{other.token} after {variant.token}"
        # The only sequence of a batch of one has fewer pages.
        yield Call(words, own, given, None if _same_shapes(given, inputs) else subject.layout)


def _same_shapes(one: Inputs, other: Inputs) -> bool:
    mine, theirs = one.stored().named(), other.stored().named()
    return {name: tensor.shape for name, tensor in mine.items()} == {name: each.shape for name, each in theirs.items()}


def _other_masks(mask: Mask) -> Iterator[tuple[str, Mask]]:
    if isinstance(mask, BlockSparse):
        block_mask = mask.block_mask
        moved = block_mask.blocks.roll(1, dims=3)
        if not torch.equal(moved, block_mask.blocks):
            yield "other blocks kept", BlockSparse(replace(block_mask, blocks=moved))
        yield "no mask after a block mask", Dense()
        return
    if not isinstance(mask, Dense | Causal):
        yield "no mask after one", Dense()
        return
    names: dict[str, Mask] = {
        "dense": Dense(),
        "causal": Causal("bottom-right"),
        "causal, top left": Causal("top-left"),
    }
    before = next(name for name, other in names.items() if other == mask)
    yield from ((f"{name} after {before}", other) for name, other in names.items() if other != mask)


SEQUENCE = Check(sequence)
"""The check of cases that name "sequence"."""
