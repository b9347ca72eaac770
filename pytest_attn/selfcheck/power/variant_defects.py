"""The defects that variants of attention bring with them: their numbers and tensors, a little off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.mistake import with_extra
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.selfcheck.power.clean import Unrounded
from pytest_attn.selfcheck.power.clean_variants import clean
from pytest_attn.selfcheck.power.defects import SHARES, Correct, Defect, LeftOut, anew
from pytest_attn.selfcheck.power.search import Amounts


def variant_defects(correct: Correct) -> Iterator[Defect | LeftOut]:
    """Every whole number of a variant too large by n, every other number and tensor of it times 1 + x."""
    for variant in correct.problem.variants:
        for item in fields(variant):
            number = getattr(variant, item.name)
            if isinstance(number, float):
                yield _scaled_number(correct, variant, item.name)
            elif isinstance(number, int) and not isinstance(number, bool) and not variant.stores:
                yield _larger_number(correct, variant, item.name)
        for name in variant.absent:
            tensor = correct.inputs.extras.get(name)
            if tensor is not None and tensor.is_floating_point():
                yield _scaled_tensor(correct, name)


def _scaled_number(correct: Correct, variant: Variant, name: str) -> Defect | LeftOut:
    other = _with_number(correct.problem, variant, name)

    def inject(x: float) -> Problem:
        return other(getattr(variant, name) * (1 + x))

    problem, title = correct.problem, f"{variant.capability} times 1 + x"
    return anew(correct.flops, title, "share", SHARES, lambda x: clean(problem).unrounded(inject(x), correct.inputs))


def _larger_number(correct: Correct, variant: Variant, name: str) -> Defect | LeftOut:
    other, problem = _with_number(correct.problem, variant, name), correct.problem
    amounts = Amounts(1, max(1, problem.key_length // 2), whole=True)
    title = f"{variant.capability}: {name} too large by"

    def inject(count: float) -> Problem:
        return other(getattr(variant, name) + int(count))

    return anew(correct.flops, title, "keys", amounts, lambda n: clean(problem).unrounded(inject(n), correct.inputs))


def _scaled_tensor(correct: Correct, name: str) -> Defect | LeftOut:
    problem, inputs = correct.problem, correct.inputs
    tensor = inputs.extras[name].float()
    title = f"{name} times 1 + x"

    def inject(x: float) -> Unrounded:
        return clean(problem).unrounded(problem, with_extra(inputs, name, tensor * (1 + x)))

    return anew(correct.flops, title, "share", SHARES, inject)


def _with_number(problem: Problem, variant: Variant, name: str) -> Callable[[float], Problem]:
    def other(number: float) -> Problem:
        changed = replace(variant, **{name: number})
        return problem.varied(changed if each is variant else each for each in problem.variants)

    return other
