"""Relations of the rows: keys that they may not attend to, and the last rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.checks.relations.related import Estimate, Plan, Side, relation
from pytest_attn.checks.relations.unchanged import Change, unchanged
from pytest_attn.checks.subject import Subject
from pytest_attn.problem.problem import Problem

LAST_ROWS = (1, 3)
"""How many of the last rows are computed alone."""

ROWS_AT_ONCE = 512
"""Rows whose pairs are held at a time."""

HIDDEN_KEY, HIDDEN_VALUE = 30.0, 1000.0
"""Factors on normal keys and values where they are hidden: one that is attended to takes the whole row."""


def last_rows(problem: Problem) -> tuple[Problem, ...]:
    """The problems that `last_row` runs: the last query alone, and the last few."""
    return tuple(replace(problem, query_length=rows) for rows in LAST_ROWS if rows < problem.query_length)


def last_row(subject: Subject) -> Iterator[Plan]:
    """The last queries alone, as in decoding: the last rows of all."""
    inputs = subject.inputs
    for problem in last_rows(subject.problem):
        rows = problem.query_length
        last = replace(inputs, query=inputs.query[:, :, -rows:], key_of_content=f"{inputs.key_of_content}|last-{rows}")

        def expected(source: Estimate, rows: int = rows) -> Estimate:
            out = None if source.out is None else source.out[:, :, -rows:]
            lse = None if source.lse is None else source.lse[:, :, -rows:]
            return Estimate(out, lse, source.error.last_rows(rows))

        words = "the last query alone" if rows == 1 else f"the last {rows} queries alone"
        yield Plan(words, Side(problem, last), (Side(subject.problem, inputs),), expected)


def hidden_keys(subject: Subject) -> Iterator[Change]:
    """Keys and values that a row may not attend to are replaced by large ones: no bit of the rows that attend to none
    of them changes.

    For every key head the row is, by turns, the first and the last that keys are hidden from, and two drawn ones.
    """
    problem, inputs, generator = subject.problem, subject.inputs, subject.generator()
    other = subject.draw(problem, 1)
    heads = [(batch, key_head) for batch in range(problem.batch) for key_head in range(problem.key_heads)]
    for turn in ("first", "last", "drawn", "drawn again"):
        key, value = inputs.key.clone(), inputs.value.clone()
        rows = torch.zeros(problem.lse_shape, dtype=torch.bool)
        for batch, key_head in heads:
            group = range(key_head * problem.group, (key_head + 1) * problem.group)
            head = group[int(torch.randint(problem.group, (), generator=generator))]
            candidates = _concealed(problem, batch, head).nonzero().flatten()
            if not len(candidates):
                continue
            draw = int(torch.randint(len(candidates), (), generator=generator))
            row = int(candidates[{"first": 0, "last": -1}.get(turn, draw)])
            hidden = ~_allowed(problem, batch, head, range(row, row + 1))[0]
            key[batch, key_head, hidden] = HIDDEN_KEY * other.key[batch, key_head, hidden]
            value[batch, key_head, hidden] = HIDDEN_VALUE * other.value[batch, key_head, hidden]
            for each in group:
                rows[batch, each] = ~_sees(problem, batch, each, hidden)
        content = f"{inputs.key_of_content}|hidden-{problem.mask.key}-{turn}-{subject.seed}"
        yield Change(
            f"hidden keys replaced ({turn})", replace(inputs, key=key, value=value, key_of_content=content), rows
        )


def _concealed(problem: Problem, batch: int, head: int) -> Tensor:
    """bool `[Sq]`: rows that may not attend to some key."""
    return torch.cat([~allowed.all(dim=1) for allowed in _pairs(problem, batch, head)])


def _sees(problem: Problem, batch: int, head: int, keys: Tensor) -> Tensor:
    """bool `[Sq]`: rows that may attend to some of the keys, bool `[Skv]`."""
    return torch.cat([allowed[:, keys].any(dim=1) for allowed in _pairs(problem, batch, head)])


def _pairs(problem: Problem, batch: int, head: int) -> Iterator[Tensor]:
    """Which pairs `[rows, Skv]` may attend, some rows at a time."""
    for start in range(0, problem.query_length, ROWS_AT_ONCE):
        yield _allowed(problem, batch, head, range(start, min(start + ROWS_AT_ONCE, problem.query_length)))


def _allowed(problem: Problem, batch: int, head: int, rows: range) -> Tensor:
    return problem.mask.allowed(problem.lengths, batch, head, rows, range(problem.key_length))


LAST_ROW = relation(last_row, last_rows)
HIDDEN_KEYS = unchanged(hidden_keys)
