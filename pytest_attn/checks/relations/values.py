"""A relation of the values: summed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_attn.checks.relations.grid import coarse, drawn
from pytest_attn.checks.relations.related import Estimate, Plan, Side, relation
from pytest_attn.checks.subject import Subject


def summed_values(subject: Subject) -> Iterator[Plan]:
    """The output is linear in the values: that of a sum is the sum of those of its parts."""
    inputs = subject.inputs
    first = coarse(inputs.value)
    second = drawn(first, tuple(first.shape), subject.generator())
    contents = {"coarse": first, f"drawn-{subject.seed}": second, f"summed-{subject.seed}": first + second}
    one, other, both = (
        Side(subject.problem, replace(inputs, value=value, key_of_content=f"{inputs.key_of_content}|value-{name}"))
        for name, value in contents.items()
    )
    yield Plan("values summed", both, (one, other), _summed)


def _summed(one: Estimate, other: Estimate) -> Estimate:
    assert one.out is not None
    assert other.out is not None
    # The log-sum-exp is the same for both; that of the first is expected.
    return Estimate(one.out + other.out, one.lse, one.error.plus(other.error.weighted(1.0, 0.0)))


SUMMED_VALUES = relation(summed_values)
