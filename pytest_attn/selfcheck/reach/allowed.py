"""Cases that a kernel claims, found without the covering arrays whose reach is measured: by a walk at random."""

from __future__ import annotations

import random
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweeps.axes import case_of, crossed_axes, of_sizes
from pytest_attn.problem.sweeps.core import PAIRED, VARIANTS
from pytest_attn.problem.turns import InTurn, Misses, Sizes

MOST_STEPS = 4000
"""Changes of a case that are tried until it is one that the kernel claims."""

Fields = dict[str, Any]


def allowed_cases(misses: Misses, count: int, seed: int = 0) -> list[Case]:
    """Claimed cases with values of the axes of `boundary` and `core`; none where no case is claimed."""
    draw, values = random.Random(seed), _values(misses.sizes)
    fields = _first(misses, draw, values)
    found: list[Case] = []
    while fields is not None and len(found) < count:
        for changed in draw.sample([*values], draw.choice((1, 2, 3, 4))):
            other = {**fields, changed: draw.choice(values[changed])}
            fields = fields if _missed(other, misses) else other
        case = _case(fields)
        assert case is not None
        found.append(case)
    return found


def _values(sizes: Sizes) -> dict[str, list[Any]]:
    """Every single value of each axis."""
    more = of_sizes(sizes)
    variants = ((), *(form for forms in VARIANTS.values() for form in forms), *PAIRED)
    axes = {**crossed_axes(), "variants": variants, "batch": (1, 2, 3, 6)}
    return {
        name: [
            single
            for value in (*values, *more.get(name, ()))
            for single in (value.values if isinstance(value, InTurn) else (value,))
        ]
        for name, values in axes.items()
    }


def _first(misses: Misses, draw: random.Random, values: dict[str, list[Any]]) -> Fields | None:
    fields = {name: own[0] for name, own in values.items()}
    missed = _missed(fields, misses)
    for _ in range(MOST_STEPS):
        if not missed:
            return fields
        changed = draw.choice([*values])
        other = {**fields, changed: draw.choice(values[changed])}
        if (found := _missed(other, misses)) <= missed:
            fields, missed = other, found
    return None


def _case(fields: Fields) -> Case | None:
    return case_of(**fields)


def _missed(fields: Fields, misses: Misses) -> float:
    case = _case(fields)
    return float("inf") if case is None else misses(case)
