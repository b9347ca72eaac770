"""A variant of attention that is ignored or misread: each mistake is a problem that the kernel would be right on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.limit import largest_share
from pytest_attn.diagnosis.runs import Runs, near
from pytest_attn.judge.verdict.derived import derived
from pytest_attn.judge.verdict.facts import facts
from pytest_attn.judge.verdict.judge import budget_of
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Causal, Lengths, Pairs, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.mistake import Mistake, with_extra, without
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import Alignment

CLOSER = 2.0
"""How many times nearer a result lies to what a mistake makes than to the truth."""


def padding_read(evidence: Runs) -> Diagnosis | None:
    """Padding that must not be read and is: right where it holds numbers, wrong where it holds NaN."""
    subject = evidence.subject
    if evidence.inputs.unread is None or not subject.kernel.capabilities.unread_padding:
        return None
    if not evidence.right(evidence.second) or evidence.right(subject.run(evidence.problem, evidence.inputs)):
        return None
    return Diagnosis("leaked keys", "padding of NaN reaches the result, padding of numbers does not: it is read")


def mistaken_variant(evidence: Runs) -> Diagnosis | None:
    """The first mistake about a variant, or about the mask and the scale beside it, that gives the kernel's result; and
    the next that gives it as well, as the case cannot tell the two apart."""
    if evidence.second_is_right:
        return None
    found: Mistake | None = None
    for mistake in mistakes(evidence.problem, evidence.inputs.to(torch.device("cpu"))):
        if evidence.box.left <= 0:
            break
        if found is None and made(evidence, mistake):
            found = mistake
        elif found and _is_other(mistake, found) and made(evidence, mistake):
            return Diagnosis(found.kind, found.phrase, (mistake.phrase,))
    return Diagnosis(found.kind, found.phrase) if found else None


def _is_other(mistake: Mistake, found: Mistake) -> bool:
    return mistake.phrase != found.phrase and not mistake.general


def mistakes(problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
    """What a wrong kernel may compute instead of a problem with variants, from the specific to the general."""
    for variant in problem.variants:
        yield Mistake(variant.kind, f"{variant.capability} is ignored", without(problem, variant), inputs)
    for variant in problem.variants:
        yield from variant.mistakes(problem, inputs)
        yield from _numbers_one_off(variant, problem, inputs)
        for name in variant.absent:
            tensor = inputs.extras.get(name)
            if tensor is not None and tensor.is_floating_point():
                yield from _misread(variant, name, tensor, problem, inputs)
    yield from _beside_variants(problem, inputs)


def made(evidence: Runs, mistake: Mistake) -> bool:
    """Whether the kernel's result is right for the problem of a mistake."""
    output = evidence.second
    if not isinstance(output, Output):
        return False
    asked: list[Problem] = []
    # The LSE first: it costs less, and tells most mistakes apart.
    if evidence.problem.wants_lse:
        asked.append(replace(mistake.lse_problem or mistake.problem, ask="lse"))
    if evidence.problem.wants_out:
        asked.append(replace(mistake.problem, ask="out"))
    try:
        return all(_right(evidence, problem, mistake, output) for problem in asked)
    except IndexError:
        # Keys that another variant beside it, as a bias, has no numbers for.
        return False


def _right(evidence: Runs, problem: Problem, mistake: Mistake, output: Output) -> bool:
    """Whether a part of the result is within the budget what the mistake makes it, and much nearer than to the truth.

    What a wrong kernel computes need not be possible for a right one, so the reference itself is not doubted.
    """
    inputs, kernel = mistake.inputs, evidence.subject.kernel
    reference = stream(problem, inputs)
    output = _of_sequences(evidence.problem, output, reference)
    if mistake.amend is not None:
        out_meant, lse_meant = mistake.amend(reference.out, reference.lse)
        reference = replace(reference, out=out_meant, lse=lse_meant)
    if not near(problem, output, reference) or facts(problem, output, reference.empty_rows, kernel.empty_rows):
        return False
    out = output.out.to(problem.oracle_dtype) if problem.wants_out else None
    lse = output.lse.to(problem.oracle_dtype) if output.lse is not None and problem.wants_lse else None
    verdict = derived(out, lse, reference, budget_of(problem, inputs, reference, kernel), inputs)
    return verdict.passed and CLOSER * largest_share(verdict) <= largest_share(evidence.verdict)


def _of_sequences(problem: Problem, output: Output, reference: Reference) -> Output:
    """A result with that of a reference for queries that no sequence has, which no kernel of packed queries returns."""
    if problem.storage is None:
        return output
    there = problem.present_queries
    out = output.out if reference.out is None else output.out.where(there.unsqueeze(3), reference.out.to(output.out))
    lse = None if output.lse is None else output.lse.where(there, reference.lse.to(output.lse))
    return Output(out, lse)


def _numbers_one_off(variant: Variant, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
    """Whole numbers of a variant, one more and one less."""
    for item in fields(variant):
        number = getattr(variant, item.name)
        if isinstance(number, bool) or not isinstance(number, int):
            continue
        for other in (number + 1, number - 1):
            if other < 0:
                continue
            try:
                changed = replace(variant, **{item.name: other})
            except ValueError:
                continue
            varied = problem.varied(changed if each is variant else each for each in problem.variants)
            phrase = f"{variant.capability} has {item.name} {other}, expected {number}"
            yield Mistake(variant.kind, phrase, varied, inputs, general=True)


def _misread(variant: Variant, name: str, tensor: Tensor, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
    """A tensor of a variant, read at another head or batch, scaled, or rounded."""
    heads, batches = problem.query_heads, problem.batch
    for dim in [dim for dim in (0, 1) if dim < tensor.dim() and tensor.shape[dim] == heads > 1][-1:]:
        order = torch.arange(heads)
        places = {
            "the next head": order.roll(-1),
            "the head before": order.roll(1),
            "the number of its key head": order // problem.group,
            "the first head": torch.zeros_like(order),
        }
        for words, place in places.items():
            moved = with_extra(inputs, name, tensor.index_select(dim, place))
            yield Mistake("head mapping", f"each head reads {name} of {words}", problem, moved)
    if tensor.dim() > 1 and len(tensor) == batches > 1:
        first = with_extra(inputs, name, tensor[:1].expand_as(tensor))
        yield Mistake("head mapping", f"every batch reads {name} of the first", problem, first)
    scaled = with_extra(inputs, name, tensor * problem.scale)
    yield Mistake(variant.kind, f"{name} is multiplied with the softmax scale", problem, scaled)
    for dtype in (torch.bfloat16, torch.float16):
        rounded = with_extra(inputs, name, tensor.to(dtype).to(tensor.dtype))
        word = str(dtype).removeprefix("torch.")
        if tensor.dtype == torch.float32:
            yield Mistake("precision", f"{name} is rounded to {word}", problem, rounded)


def _beside_variants(problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
    """What may be wrong beside the variants: the causal mask, the scale, the key heads."""
    masks = parts(problem.mask)
    causal = next((part for part in masks if isinstance(part, Causal)), None)
    if causal is not None:
        dense = problem.masked(part for part in masks if part is not causal)
        yield Mistake("causal diagonal", "the causal mask is forgotten beside the variant", dense, inputs)
        align: Alignment = "top-left" if causal.align == "bottom-right" else "bottom-right"
        aligned = problem.masked(Causal(align) if part is causal else part for part in masks)
        yield Mistake("causal diagonal", f"the causal diagonal is {align}, expected {causal.align}", aligned, inputs)
        for step, words in ((1, "far"), (-1, "short")):
            diagonal = _diagonal(causal, step)
            moved = problem.masked(diagonal if part is causal else part for part in masks)
            yield Mistake("causal diagonal", f"the diagonal lies one key too {words}", moved, inputs)
    scales = {1.0: "is missing", 1 / math.sqrt(problem.head_dim): "given is ignored", problem.scale**2: "counts twice"}
    for scale, words in scales.items():
        if not math.isclose(scale, problem.scale):
            yield Mistake("scale", f"the softmax scale {words}", replace(problem, scale=scale), inputs)
    if problem.key_heads > 1 and problem.group > 1:
        read = torch.arange(problem.query_heads) % problem.key_heads
        own = replace(problem, key_heads=problem.query_heads)
        other = replace(inputs, key=inputs.key[:, read], value=inputs.value[:, read])
        yield Mistake("head mapping", "query head h reads key head h modulo their number", own, other)


def _diagonal(causal: Causal, step: int) -> Pairs:
    """The causal mask with so many keys more."""

    def allowed(query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
        return key <= query + causal.offset(lengths) + step

    return Pairs(f"{causal.key}-{step}", allowed)
