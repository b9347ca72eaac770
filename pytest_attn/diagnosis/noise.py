"""Errors without structure: too much rounding, rounding to one side, numbers that overflow, results that are none."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs

MOST_NOISE = 0.2
"""Errors above this share of the output are not for want of bits."""


def null(evidence: Evidence) -> Diagnosis | None:
    """Results that are no attention."""
    if evidence.out is None:
        return None
    model = evidence.model
    if bool((evidence.out == 0).all()) and evidence.uniform is not None and not bool(evidence.uniform.actual.any()):
        return Diagnosis("null", "out is zero everywhere, also for other inputs")
    uniform = replace(model, query=torch.zeros_like(model.query))
    guesses = {
        "out is the mean of the values, whatever the query": uniform.reference().out,
        "out is the mean of all values, whatever the mask": replace(uniform, allowed=torch.ones_like(model.allowed))
        .reference()
        .out,
        "out is the last value": model.value[:, :, -1:],
        "out is the first value": model.value[:, :, :1],
    }
    if evidence.problem.head_dim == evidence.problem.value_dim:
        guesses["out is the query"] = model.query
        guesses["out is the query times the scale"] = model.query * model.scale
    if model.value.shape[2] == model.query.shape[2]:
        guesses["out is the value"] = model.value
    right = model.reference()
    for phrase, out in guesses.items():
        if out is None or evidence.explained_by(right, "out"):
            continue
        if evidence.explained_by(replace(right, out=out.expand_as(evidence.out)), "out"):
            return Diagnosis("null", phrase)
    return None


def not_finite(evidence: Evidence) -> Diagnosis | None:
    """Infinities and NaN that the kernel computed."""
    if evidence.out is None:
        return None
    kept = ~evidence.model.lse.isneginf()
    bad = ~evidence.out.isfinite().all(dim=3) & kept
    if evidence.lse is not None:
        bad |= ~evidence.lse.isfinite() & kept
    if not bool(bad.any()):
        return None
    for query, value, what in ((1 / 64, 1.0, "logits"), (1.0, 1 / 1024, "values"), (1 / 64, 1 / 1024, "both")):
        scaled = Inputs(evidence.inputs.query * query, evidence.inputs.key, evidence.inputs.value * value, "smaller")
        result = evidence.run(evidence.problem, scaled)
        if isinstance(result, Output) and _finite(result, evidence, kept):
            divisor = 64 if query < 1 else 1024
            return Diagnosis(
                "overflow", f"not finite in {int(bad.sum())} rows, finite with {what} divided by {divisor}"
            )
    return Diagnosis(
        "not finite", f"not finite in {int(bad.sum())} of {bad.numel()} rows, whatever the size of the inputs"
    )


def _finite(result: Output, evidence: Evidence, kept: Tensor) -> bool:
    finite = result.out[:, :, evidence.rows].isfinite().all(dim=3) | ~kept
    if result.lse is not None:
        finite &= result.lse[:, :, evidence.rows].isfinite() | ~kept
    return bool(finite.all())


def empty_rows(evidence: Evidence) -> Diagnosis | None:
    """Rows without keys that are not as declared, where all others are right."""
    model, output, declared = evidence.model, evidence.output, evidence.subject.kernel.empty_rows
    empty = model.lse.isneginf()
    if output is None or not bool(empty.any()):
        return None
    out = output.out.masked_fill(empty.unsqueeze(3), 0.0)
    lse = None if output.lse is None else output.lse.masked_fill(empty, 0.0 if declared.lse is None else declared.lse)
    if not evidence.explained_by(model.reference(), output=Output(out, lse)):
        return None
    said = []
    if evidence.problem.wants_out and declared.out == "zero" and bool((output.out[empty] != 0).any()):
        said.append(f"out is {float(output.out[empty].flatten()[0]):.3g} there, expected 0")
    if evidence.problem.wants_lse and output.lse is not None and declared.lse is not None:
        found = output.lse[empty]
        wrong = found[~torch.isclose(found, torch.full_like(found, declared.lse), equal_nan=True)]
        if len(wrong):
            said.append(f"lse is {float(wrong[0]):.4g} there, expected {declared.lse:g}")
    if not said:
        return None
    return Diagnosis("empty rows", f"{int(empty.sum())} rows may attend to no key: {'; '.join(said)}")


def rounding(evidence: Evidence) -> Diagnosis | None:
    """Errors that are small and follow no pattern, or lean to one side."""
    expected = evidence.model.reference().out
    if evidence.out is None or expected is None or evidence.out_is_right or not bool(evidence.out.isfinite().all()):
        return None
    error = evidence.out - expected
    share = float(error.square().mean().sqrt() / expected.square().mean().sqrt().clamp_min(1e-30))
    if share > MOST_NOISE or not _without_structure(evidence):
        return None
    toward = (error * expected.sign()).flatten()
    lean = float(toward.mean() / toward.square().mean().sqrt().clamp_min(1e-30))
    if abs(lean) > 0.4 and toward.numel() > 256:
        side = "away from" if lean > 0 else "towards"
        return Diagnosis("sign bias", f"errors lean {side} zero: their mean is {abs(lean):.2f} of their RMS")
    return Diagnosis("precision", f"errors of {share:.2g} of the output without a pattern: too few bits are kept")


def _without_structure(evidence: Evidence) -> bool:
    """Whether the weights are right on average: they add up to 1, and none is lost or far off."""
    weights = evidence.weights
    if weights is None:
        return False
    total, expected = weights.actual.sum(dim=3), weights.expected.sum(dim=3)
    heavy = weights.expected > 2.0**-8
    off = (weights.actual / weights.expected - 1.0).abs()[heavy]
    return bool(((total - expected).abs() < 0.1).all()) and (not off.numel() or float(off.max()) < 0.3)


def lse_rounding(evidence: Evidence) -> Diagnosis | None:
    """An LSE that is a little off in each row, each by another amount."""
    if evidence.lse is None or evidence.lse_is_right or not evidence.out_is_right or not evidence.weights_are_right:
        return None
    kept = ~evidence.model.lse.isneginf()
    error = (evidence.lse - evidence.model.lse)[kept]
    if not bool(error.isfinite().all()) or float(error.abs().max()) > 0.05:
        return None
    return Diagnosis("precision", f"lse is off by up to {float(error.abs().max()):.2g}, each row by another amount")
