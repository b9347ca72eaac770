"""Names the bug behind a red verdict."""

from __future__ import annotations

from dataclasses import replace

from pytest_attn.checks.subject import Subject
from pytest_attn.diagnosis.columns import column_order, value_columns, wrong_columns
from pytest_attn.diagnosis.declarations import undeclared
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.finite import empty_rows, lse_not_finite, not_finite
from pytest_attn.diagnosis.gradients import padding_overflows, wrong_step
from pytest_attn.diagnosis.heads import head_mapping, logit_columns, stored_heads
from pytest_attn.diagnosis.keys import attended_keys
from pytest_attn.diagnosis.known import Hypothesis, Known
from pytest_attn.diagnosis.limit import near_limit
from pytest_attn.diagnosis.lse import lse_alone, lse_beside_output, lse_unwritten
from pytest_attn.diagnosis.memory import (
    beside_inputs,
    other_rows,
    out_layout,
    strides,
    value_strides,
    written_inputs,
    zero_rows,
)
from pytest_attn.diagnosis.noise import lse_rounding, rounding
from pytest_attn.diagnosis.null import kept_result, null, zero
from pytest_attn.diagnosis.online import flushed_weights, last_keys, maximum, online_softmax
from pytest_attn.diagnosis.scale import fitted_scale, output_factor, softmax_scale
from pytest_attn.diagnosis.state import failed_call, repeated, stale_call
from pytest_attn.diagnosis.tail import padded_tail
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.diagnosis.unwritten import memory_read, not_zeroed, unwritten
from pytest_attn.diagnosis.variants import mistaken_variant, padding_read
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.problem.masks import BlockSparse, Causal, Dense
from pytest_attn.problem.problem import Problem

HYPOTHESES: tuple[Hypothesis, ...] = (
    written_inputs,
    unwritten,
    not_zeroed,
    memory_read,
    repeated,
    strides,
    empty_rows,
    value_strides,
    beside_inputs,
    maximum,
    not_finite,
    kept_result,
    lse_beside_output,
    stored_heads,
    out_layout,
    zero_rows,
    wrong_columns,
    value_columns,
    column_order,
    null,
    attended_keys,
    padded_tail,
    zero,
    lse_unwritten,
    lse_alone,
    head_mapping,
    other_rows,
    softmax_scale,
    logit_columns,
    fitted_scale,
    flushed_weights,
    last_keys,
    online_softmax,
    output_factor,
    lse_not_finite,
    lse_rounding,
    rounding,
)
"""From the specific to the general; the first that explains the error names it."""

HYPOTHESES_OF_VARIANTS: tuple[Hypothesis, ...] = (
    written_inputs,
    unwritten,
    not_zeroed,
    memory_read,
    padding_read,
    repeated,
    strides,
    mistaken_variant,
    wrong_columns,
)
"""Those that hold for a problem with variants: none of them models the logits as plain products."""

HYPOTHESES_OF_GRADIENTS: tuple[Hypothesis, ...] = (
    written_inputs,
    unwritten,
    not_zeroed,
    memory_read,
    repeated,
    strides,
    beside_inputs,
    padding_overflows,
    wrong_step,
)
"""Those of a backward pass, whose forward pass other cases judge."""

GENERAL: frozenset[Hypothesis] = frozenset({fitted_scale, output_factor, lse_not_finite, lse_rounding, rounding})
"""Those that fit what a more specific one explains: never tried before their turn."""

UNEXPLAINED = ("type", "shape", "dtype", "device", "raised")
"""Findings, by `what`, whose phrase leaves nothing to find out: the kernel is not run again for them."""

MOST_FLOPS = 40e9
"""Floating-point operations of a case on a CPU; one that takes more is not run again."""

MOST_FLOPS_OF_AN_ACCELERATOR = 20e12
"""The same for a case on an accelerator."""


def diagnose(
    subject: Subject, verdict: Verdict, box: TimeBox | None = None, known: Known | None = None
) -> Diagnosis | None:
    """What is wrong with a kernel that failed a case, from further runs of it on the shapes of the case.

    `box` is the time limit, by default that of one diagnosis; `known` what was found of this kernel before. None where
    no hypothesis accounts for the error, where the time is over, and for cases that are not run again: too many
    operations, types of eight bits, masks that no hypothesis knows.
    """
    most = MOST_FLOPS if subject.device.type == "cpu" else MOST_FLOPS_OF_AN_ACCELERATOR
    # Types of eight bits cannot be computed with on a CPU.
    if subject.problem.forward_flops > most or subject.problem.dtype.itemsize < 2:
        return None
    # The other hypotheses know dense, causal and block-sparse masks alone.
    plain = not subject.problem.variants and not subject.problem.wants_grad
    if plain and not isinstance(subject.problem.mask, Dense | Causal | BlockSparse):
        return None
    if verdict.passed or verdict.findings[0].what in UNEXPLAINED:
        return None
    box = box or TimeBox()
    call = failed_call(subject, verdict)
    if call is not None:
        subject = replace(subject, problem=call.problem, inputs=call.inputs, layout=call.layout or subject.layout)
    evidence = Evidence(subject, verdict, box)
    found = stale_call(evidence, call) if call is not None else None
    return found or _explained(evidence, known or Known(GENERAL))


def _explained(evidence: Evidence, known: Known) -> Diagnosis | None:
    for hypothesis in known.first(_hypotheses(evidence.problem)):
        if evidence.box.left <= 0:
            return None
        found = hypothesis(evidence)
        if found is not None:
            known.add(hypothesis)
            return _beside_declarations(evidence, found)
    return undeclared(evidence) or near_limit(evidence)


def _beside_declarations(evidence: Evidence, found: Diagnosis) -> Diagnosis:
    """A diagnosis, with the declaration that would explain errors as well where it is one of precision."""
    declaration = undeclared(evidence) if found.kind == "precision" else None
    return found if declaration is None else replace(found, alternatives=(*found.alternatives, declaration.words))


def _hypotheses(problem: Problem) -> tuple[Hypothesis, ...]:
    if problem.wants_grad:
        return HYPOTHESES_OF_GRADIENTS
    return HYPOTHESES_OF_VARIANTS if problem.variants else HYPOTHESES
