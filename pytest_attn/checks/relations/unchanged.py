"""Rows that must not change when what they do not read does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.checks.bits import difference
from pytest_attn.checks.check import Check, also
from pytest_attn.checks.relations.related import Estimate, Side, compare_related
from pytest_attn.checks.subject import Subject
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs


class Change(NamedTuple):
    """Other inputs of the problem of the case, and the rows, bool `[B, H, Sq]`, that do not read what is other."""

    words: str
    inputs: Inputs
    rows: Tensor


def unchanged(changes: Callable[[Subject], Iterable[Change]]) -> Check:
    """A check that no bit of the rows changes; where the kernel does not claim to be deterministic, that they agree."""
    return Check(also(lambda subject: _verdicts(subject, [*changes(subject)])))


def _verdicts(subject: Subject, changes: Sequence[Change]) -> Iterator[Verdict]:
    subject = subject.sharing(len(changes))
    plain = Side(subject.problem, subject.inputs)
    before = subject.run_whole(*plain)
    for words, inputs, rows in changes:
        after = subject.run_whole(subject.problem, inputs)
        found = next((result for result in (before, after) if isinstance(result, Finding)), None)
        if found:
            yield Verdict((found,)).of(words)
            continue
        assert not isinstance(before, Finding)
        assert not isinstance(after, Finding)
        if subject.kernel.capabilities.deterministic:
            changed = difference("unchanged", subject.problem, before, after, rows)
            yield Verdict((changed.of(words),) if changed else ())
            continue
        expected = Estimate.of(subject, plain, before)
        yield compare_related(subject, plain, _only(rows, after, before), expected).of(words)


def _only(rows: Tensor, after: Output, before: Output) -> Output:
    """`after` in some rows, `before` in the others."""
    rows = rows.to(after.out.device)
    out = after.out if after.out.shape != before.out.shape else torch.where(rows.unsqueeze(3), after.out, before.out)
    lse = None if after.lse is None or before.lse is None else torch.where(rows, after.lse, before.lse)
    return replace(after, out=out, lse=lse)
