"""A variant of attention that is ignored or misread: each mistake is a problem that the kernel would be right on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.runs import Runs, near
from pytest_attn.judge.judge import judge
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Causal, Ragged, intersection, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.mistake import Mistake, with_extra, without
from pytest_attn.problem.variants.variant import Variant


def padding_read(evidence: Runs) -> Diagnosis | None:
    """Padding that must not be read and is: right where it holds numbers, wrong where it holds NaN."""
    subject = evidence.subject
    if evidence.inputs.unread is None or not subject.kernel.capabilities.unread_padding:
        return None
    if not evidence.right(evidence.second) or evidence.right(subject.run(evidence.problem, evidence.inputs)):
        return None
    return Diagnosis("leaked keys", "padding of NaN reaches the result, padding of numbers does not: it is read")


def mistaken_variant(evidence: Runs) -> Diagnosis | None:
    """The first mistake about a variant, or about the mask and the scale beside it, that gives the kernel's result."""
    problem, inputs = evidence.problem, evidence.inputs.to(torch.device("cpu"))
    for mistake in mistakes(problem, inputs):
        if evidence.box.left <= 0:
            return None
        if made(evidence, mistake):
            return Diagnosis(mistake.kind, mistake.phrase)
    return None


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
    if evidence.problem.wants_out:
        asked.append(replace(mistake.problem, ask="out"))
    if evidence.problem.wants_lse:
        asked.append(replace(mistake.lse_problem or mistake.problem, ask="lse"))
    return all(_right(evidence, problem, mistake.inputs, output) for problem in asked)


def _right(evidence: Runs, problem: Problem, inputs: Inputs, output: Output) -> bool:
    reference = stream(problem, inputs)
    return (
        near(problem, output, reference) and judge(problem, inputs, output, reference, evidence.subject.kernel).passed
    )


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
            yield Mistake(variant.kind, phrase, varied, inputs)


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
    if any(isinstance(part, Causal) for part in parts(problem.mask)):
        inner = intersection(*(part for part in parts(problem.mask) if not isinstance(part, Causal)))
        mask = Ragged(inner, problem.mask.sequences) if isinstance(problem.mask, Ragged) else inner
        phrase = "the causal mask is forgotten beside the variant"
        dense = replace(problem, mask=mask)
        yield Mistake("causal diagonal", phrase, dense, inputs)
    scales = {1.0: "is missing", 1 / math.sqrt(problem.head_dim): "given is ignored", problem.scale**2: "counts twice"}
    for scale, words in scales.items():
        if not math.isclose(scale, problem.scale):
            yield Mistake("scale", f"the softmax scale {words}", replace(problem, scale=scale), inputs)
    if problem.key_heads > 1 and problem.group > 1:
        read = torch.arange(problem.query_heads) % problem.key_heads
        own = replace(problem, key_heads=problem.query_heads)
        moved = replace(inputs, key=inputs.key[:, read], value=inputs.value[:, read])
        yield Mistake("head mapping", "query head h reads key head h modulo their number", own, moved)
