"""Relations of the heads: key heads repeated, one head left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from pytest_attn.checks.relations.related import Plan, Side, relation, same
from pytest_attn.checks.relations.unchanged import Change, unchanged
from pytest_attn.checks.subject import Subject
from pytest_attn.problem.problem import Problem

LONE_HEADS = 2
"""Heads that are left alone, one after the other."""


def as_many_key_heads(problem: Problem) -> tuple[Problem]:
    """The problem that `expanded_heads` runs: a key head for every query head."""
    return (replace(problem, key_heads=problem.query_heads),)


def expanded_heads(subject: Subject) -> Iterator[Plan]:
    """Key heads shared by a group: the same as each repeated for every query head of its group."""
    problem, inputs = subject.problem, subject.inputs
    expanded = replace(
        inputs,
        key=inputs.key.repeat_interleave(problem.group, dim=1),
        value=inputs.value.repeat_interleave(problem.group, dim=1),
        key_of_content=f"{inputs.key_of_content}|expanded",
    )
    source = Side(*as_many_key_heads(problem), expanded)
    yield Plan("key heads repeated", Side(problem, inputs), (source,), same)


def lone_head(subject: Subject) -> Iterator[Change]:
    """All other heads and batches replaced: no bit of one head changes."""
    problem, inputs = subject.problem, subject.inputs
    other = subject.draw(problem, 1)
    for which in torch.randperm(problem.batch * problem.query_heads, generator=subject.generator())[:LONE_HEADS]:
        batch, head = divmod(int(which), problem.query_heads)
        query, key, value = other.query.clone(), other.key.clone(), other.value.clone()
        key_head = head // problem.group
        query[batch, head] = inputs.query[batch, head]
        key[batch, key_head], value[batch, key_head] = inputs.key[batch, key_head], inputs.value[batch, key_head]
        rows = torch.zeros(problem.lse_shape, dtype=torch.bool)
        rows[batch, head] = True
        content = f"{inputs.key_of_content}|lone-{batch}-{head}-{subject.seed}"
        words = f"all but batch {batch}, head {head} replaced"
        alone = replace(inputs, query=query, key=key, value=value, key_of_content=content)
        yield Change(words, alone, rows)


EXPANDED_HEADS = relation(expanded_heads, as_many_key_heads)
LONE_HEAD = unchanged(lone_head)
