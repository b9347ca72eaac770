"""The same problem again: a kernel that claims to be deterministic gives the same bits, any other is right again."""

from __future__ import annotations

from dataclasses import replace

from pytest_attn.checks.bits import difference
from pytest_attn.checks.check import Check
from pytest_attn.checks.subject import Subject
from pytest_attn.checks.value import value
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict

FIRST, SECOND = "first call of a prepared run", "second call of a prepared run"
"""The parts of a finding about one prepared run, called twice on the same memory."""

ELSEWHERE = "run prepared for a copy of the inputs in other memory"
"""The part of a finding about a run whose inputs have other addresses."""


def again(subject: Subject) -> Verdict:
    """The verdict on four runs: one compared with the reference, a prepared run called twice, and one prepared for a
    copy of the inputs.

    Where the kernel claims to be deterministic, the last three must have the same bits; else each must be right.
    """
    # Three more are compared with the truth where they need not have the same bits.
    subject = subject if subject.kernel.capabilities.deterministic else subject.sharing(4)
    verdict = value(subject)
    if not verdict.passed:
        return verdict
    given, copy = subject.guarded(subject.inputs), subject.guarded(subject.inputs)
    trial = subject.trial(subject.problem, given)
    first, second = subject.call(trial), subject.call(trial)
    elsewhere = subject.run_on(subject.problem, copy)
    for name, result in ((FIRST, first), (SECOND, second), (ELSEWHERE, elsewhere)):
        if isinstance(result, Finding):
            return Verdict((result.of(name),), verdict.figures)
        assert not isinstance(first, Finding)
        if not subject.kernel.capabilities.deterministic:
            judged = subject.compare(subject.problem, subject.inputs, result)
            if not judged.passed:
                return judged.of(name)
            continue
        found = difference("again", subject.problem, first, result)
        if found:
            found = replace(found, rest=" from the first call, though the kernel claims to be deterministic")
            return Verdict((found.of(name),), verdict.figures)
    return verdict


AGAIN = Check(again)
"""The check of cases that name "again"."""
