"""What a kernel keeps from one call to the next."""

from __future__ import annotations

import re
from dataclasses import replace

import torch

from pytest_attn.checks.again import ELSEWHERE, FIRST, SECOND
from pytest_attn.checks.sequence import Call, calls_of
from pytest_attn.checks.subject import Subject
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.limit import is_right_alone
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem

CALL = re.compile(r"call (\d+) of (\d+) \(")
"""The part of a finding about one call of a sequence: its number, from 1, and how many calls there were."""


RESULTS = ("out", "lse", "dq", "dk", "dv")
"""Names of the tensors that a kernel returns, as findings have them."""


def failed_call(subject: Subject, verdict: Verdict) -> Call | None:
    """The call of a sequence that a verdict is about; None where it is no verdict on a sequence."""
    found = CALL.match(verdict.findings[0].part)
    if found is None:
        return None
    calls = [call for call in calls_of(subject) if subject.claims(call.problem, call.layout)]
    return calls[int(found[1]) - 1] if len(calls) == int(found[2]) else None


def repeated(evidence: Evidence) -> Diagnosis | None:
    """A result that is right when the kernel is run again, or another one each time."""
    finding = evidence.verdict.findings[0]
    again = finding.part.startswith((FIRST, SECOND, ELSEWHERE))
    if evidence.second_is_right:
        whole = not finding.part or evidence.in_poisoned_memory
        alone = whole and finding.tensor in RESULTS and not finding.names_tensor
        if again or (alone and is_right_alone(evidence)):
            return Diagnosis("stale state", "run alone on the same inputs, the kernel is right")
        return None
    third = evidence.run(evidence.problem, evidence.inputs)
    if not isinstance(evidence.second, Output) or not isinstance(third, Output):
        return None
    pairs = [(evidence.second.out, third.out)] if evidence.problem.wants_out else []
    pairs += [(evidence.second.lse, third.lse)] if evidence.second.lse is not None and third.lse is not None else []
    if evidence.second.grads is not None and third.grads is not None:
        pairs += zip(evidence.second.grads, third.grads, strict=True)
    if all(torch.equal(a.nan_to_num(0.5), b.nan_to_num(0.5)) for a, b in pairs):
        return None
    return Diagnosis("stale state", "two runs on the same inputs give different results")


def stale_call(evidence: Evidence, call: Call) -> Diagnosis | None:
    """A call that is wrong after others, and right on a shape that the kernel has not seen.

    `evidence` is that of the kernel on the call; what it keeps is kept by shape or by address.
    """
    if evidence.second_is_right:
        return Diagnosis("stale state", f"{call.words}: wrong after the calls before, right when it is repeated alone")
    others = [_other_rows(call.problem, call.inputs, more) for more in (1, 3)]
    for problem, inputs in filter(None, others):
        # Not through the session's cache: these inputs have no content key of their own.
        fresh = replace(evidence, subject=replace(evidence.subject, problem=problem, inputs=inputs, reference=stream))
        if not fresh.right(fresh.second):
            return None
    if None in others:
        return None
    words = "wrong after the calls before, right for other numbers of rows, which it had not seen"
    return Diagnosis("stale state", f"{call.words}: {words}")


def _other_rows(problem: Problem, inputs: Inputs, more: int) -> tuple[Problem, Inputs] | None:
    """A problem with some queries more, or less where a block mask has no room for more; not as many as keys, where all
    diagonals are one."""
    mask, length = problem.mask, problem.query_length + more
    if isinstance(mask, BlockSparse):
        size = mask.block_mask.block_shape[0]
        blocks = -(-problem.query_length // size)
        length = length if length <= blocks * size else problem.query_length - more
        if -(-length // size) != blocks:
            return None
        mask = BlockSparse(BlockMask(mask.block_mask.blocks, mask.block_mask.block_shape, length, problem.key_length))
    elif length == problem.key_length:
        length += 1
    query = torch.cat([inputs.query, *[inputs.query[:, :, -1:]] * (more + 1)], dim=2)[:, :, :length]
    return replace(problem, query_length=length, mask=mask), replace(inputs, query=query, key_of_content="other rows")
