"""Relations of the keys: permuted, shifted, duplicated, split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from pytest_attn.checks.relations.grid import coarse, drawn
from pytest_attn.checks.relations.related import Estimate, Plan, Side, relation, same
from pytest_attn.checks.subject import Subject
from pytest_attn.judge.budget.merging import Partial
from pytest_attn.judge.budget.merging import merged as merge
from pytest_attn.problem.problem import Problem

TILE = 64
"""Keys of a tile, or a divisor of them, in most kernels."""


def permuted_keys(subject: Subject) -> Iterator[Plan]:
    """Keys and values in another order, of its own for every head: nothing changes."""
    inputs = subject.inputs
    batch, heads, length, _ = inputs.key.shape
    order = torch.rand((batch, heads, length, 1), generator=subject.generator()).argsort(dim=2).to(inputs.key.device)
    permuted = replace(
        inputs,
        key=inputs.key.take_along_dim(order, dim=2),
        value=inputs.value.take_along_dim(order, dim=2),
        key_of_content=f"{inputs.key_of_content}|permuted-{subject.seed}",
    )
    yield Plan("keys permuted", Side(subject.problem, permuted), (Side(subject.problem, inputs),), same)


def shifted_keys(subject: Subject) -> Iterator[Plan]:
    """The same vector added to every key of a head: the log-sum-exp shifts by scale * query . vector, the output does
    not change."""
    problem, inputs = subject.problem, subject.inputs
    key = coarse(inputs.key)
    vector = drawn(key, (problem.batch, problem.key_heads, 1, problem.head_dim), subject.generator())
    plain = replace(inputs, key=key, key_of_content=f"{inputs.key_of_content}|coarse")
    content = f"{plain.key_of_content}|shifted-{subject.seed}"
    vectors = vector.double().repeat_interleave(problem.group, dim=1)
    shift = problem.scale * (inputs.query.double() * vectors).sum(dim=3).cpu()

    def expected(source: Estimate) -> Estimate:
        lse = None if source.lse is None else (source.lse.double() + shift).to(source.lse.dtype)
        return replace(source, lse=lse)

    shifted = Side(problem, replace(plain, key=key + vector, key_of_content=content))
    yield Plan("a vector added to every key", shifted, (Side(problem, plain),), expected)


def twice_the_keys(problem: Problem) -> tuple[Problem]:
    """The problem that `duplicated_keys` runs: twice as many keys."""
    return (replace(problem, key_length=2 * problem.key_length),)


def duplicated_keys(subject: Subject) -> Iterator[Plan]:
    """Every key twice: the log-sum-exp grows by ln 2, the output does not change."""
    inputs = subject.inputs
    doubled = replace(
        inputs,
        key=torch.cat([inputs.key, inputs.key], dim=2),
        value=torch.cat([inputs.value, inputs.value], dim=2),
        key_of_content=f"{inputs.key_of_content}|doubled",
    )

    def expected(source: Estimate) -> Estimate:
        return replace(source, lse=None if source.lse is None else source.lse + math.log(2.0))

    compared = Side(*twice_the_keys(subject.problem), doubled)
    yield Plan("every key twice", compared, (Side(subject.problem, inputs),), expected)


def cut_of(length: int) -> int:
    """Where keys are cut: near three eighths, and so that both parts end in a partial tile, one more of them than the
    whole has.

    Where the whole ends with `tail` keys of its last tile, so does the first part with a third of them.
    """
    tail = (length - 1) % TILE + 1
    first = max(1, tail // 3)
    return round(length * 3 / 8 / TILE) * TILE + first + (first % 16 == 0)


def parts(problem: Problem) -> tuple[Problem, Problem]:
    """The problems that `split_keys` runs: the first keys, and the keys from the cut on."""
    cut = cut_of(problem.key_length)
    return replace(problem, key_length=cut), replace(problem, key_length=problem.key_length - cut)


def split_keys(subject: Subject) -> Iterator[Plan]:
    """Two runs over parts of the keys, merged through their log-sum-exps: the run over all."""
    inputs, cut = subject.inputs, cut_of(subject.problem.key_length)
    ranges = (slice(0, cut), slice(cut, None))
    sources = tuple(
        Side(
            problem,
            replace(
                inputs,
                key=inputs.key[:, :, keys],
                value=inputs.value[:, :, keys],
                key_of_content=f"{inputs.key_of_content}|keys-{keys}",
            ),
        )
        for problem, keys in zip(parts(subject.problem), ranges, strict=True)
    )
    yield Plan("keys split and merged", Side(subject.problem, inputs), sources, merged)


def merged(*sources: Estimate) -> Estimate:
    """The result over the keys of all sources."""
    parts = [Partial(source.out, source.lse.double(), source.error) for source in sources if source.lse is not None]
    return Estimate(*merge(parts))


PERMUTED_KEYS = relation(permuted_keys)
SHIFTED_KEYS = relation(shifted_keys)
DUPLICATED_KEYS = relation(duplicated_keys, twice_the_keys)
SPLIT_KEYS = relation(split_keys, parts)
