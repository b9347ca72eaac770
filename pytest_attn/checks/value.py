"""The check of most cases: one ordinary run compared with a reference, and a second one that shows unwritten memory."""

from __future__ import annotations

from pytest_attn.checks.bits import difference
from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.checks.subject import Subject
from pytest_attn.checks.trial import REFUSED
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Output

POISONED = "in memory full of NaN, under torch's deterministic mode"
"""The part of a finding about the second run."""

MOST_FLOPS = {"cpu": 1e9}
MOST_FLOPS_OF_AN_ACCELERATOR = 1e12
"""Operations of the largest problem that is run a second time; memory is left unwritten on small ones as well, and
there a second run costs little."""


def value(subject: Subject) -> Verdict:
    """The verdict on an ordinary run, as users have it; where that is right, on one in poisoned memory.

    Poison is torch's deterministic mode, in which a kernel may take another path: nothing is right because of the
    second run. Where memory shows that the first left unwritten, the second verdict names it and is the one given.
    """
    problem, inputs = subject.problem, subject.inputs
    given = subject.guarded(inputs)
    result = subject.run_on(problem, given)
    poisoned = _poisoned(subject, given) if isinstance(result, Output) else None
    # Whether the second is compared depends on its bits: its part is set aside wherever it was run.
    subject = subject.sharing(1 if poisoned is None else 2)
    verdict = subject.compare(problem, inputs, result)
    if not isinstance(result, Output) or poisoned is None or not _differs(subject, result, poisoned):
        return verdict
    if not verdict.passed and not _shows_nan(result, poisoned):
        return verdict
    second = subject.compare(problem, inputs, poisoned)
    return verdict if second.passed else Verdict(second.of(POISONED).findings, verdict.figures)


def _poisoned(subject: Subject, given: GuardedInputs) -> Output | Finding | None:
    """The result in poisoned memory; None where a second run would be dear, or the kernel refuses that mode."""
    most = MOST_FLOPS.get(subject.device.type, MOST_FLOPS_OF_AN_ACCELERATOR)
    if subject.problem.forward_flops > most:
        return None
    result = subject.call(subject.trial(subject.problem, given, poisoned=True))
    return None if isinstance(result, Finding) and result.what == REFUSED else result


def _differs(subject: Subject, result: Output, poisoned: Output | Finding) -> bool:
    return isinstance(poisoned, Finding) or difference("poisoned", subject.problem, result, poisoned) is not None


def _shows_nan(result: Output, poisoned: Output | Finding) -> bool:
    """Whether the second result has NaN where the first has none."""
    if isinstance(poisoned, Finding):
        return False
    pairs = [(result.out, poisoned.out), *zip(result.grads or (), poisoned.grads or (), strict=True)]
    if result.lse is not None and poisoned.lse is not None:
        pairs.append((result.lse, poisoned.lse))
    return any(bool((after.isnan() & ~before.isnan()).any()) for before, after in pairs)
