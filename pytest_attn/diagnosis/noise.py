"""Errors without structure: too much rounding, rounding to one side, numbers that overflow, results that are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.attended import LARGEST_TILE
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.model import Model
from pytest_attn.diagnosis.online import GROUP, grouped
from pytest_attn.judge.verdict import Finding
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Causal, Dense

MOST_BIAS = 4.0
"""Roundings, in machine epsilons, that cutting instead of rounding may make of an output."""

MOST_NOISE = 0.2
"""Errors above this share of the output are not for want of bits."""


def null(evidence: Evidence) -> Diagnosis | None:
    """Results that are no attention, on the case and on other inputs."""
    if evidence.out is None or evidence.out_is_right:
        return None
    right = evidence.model.reference()
    for phrase, guess in NULLS.items():
        out = guess(evidence.model)
        if not evidence.explained_by(replace(right, out=out.expand_as(evidence.out)), "out"):
            continue
        inputs = Inputs.draw(evidence.problem, evidence.subject.seed + 7).to(evidence.inputs.query.device)
        other = evidence.output_of(inputs)
        expected = guess(Model.of(evidence.problem, inputs, evidence.rows))
        if other is not None and float((other - expected).abs().max()) < 0.02 * float(expected.abs().max()) + 1e-6:
            return Diagnosis("null", phrase)
    return None


def zero(evidence: Evidence) -> Diagnosis | None:
    """Zeros, on the case and on other inputs."""
    if evidence.out is None or evidence.out_is_right or bool(evidence.out.any()):
        return None
    other = evidence.output_of(
        Inputs.draw(evidence.problem, evidence.subject.seed + 7).to(evidence.inputs.query.device)
    )
    if other is None or bool(other.any()):
        return None
    return Diagnosis("null", "out is zero")


def _mean(model: Model) -> Tensor:
    return replace(model, query=torch.zeros_like(model.query)).weights @ model.value


def _query(model: Model, scale: float) -> Tensor:
    width = model.value.shape[3] - model.query.shape[3]
    return torch.nn.functional.pad(model.query * scale, (0, width))


NULLS: dict[str, Callable[[Model], Tensor]] = {
    "out is the mean of the values, whatever the query": _mean,
    "out is the mean of all values, whatever the mask": lambda model: model.value.mean(dim=2, keepdim=True),
    "out is the last value": lambda model: model.value[:, :, -1:],
    "out is the first value": lambda model: model.value[:, :, :1],
    "out is the query": lambda model: _query(model, 1.0),
    "out is the query times the scale": lambda model: _query(model, model.scale),
}
"""What a kernel may return that does no attention, from a correct model of the case."""


def not_finite(evidence: Evidence) -> Diagnosis | None:
    """Infinities and NaN that the kernel computed."""
    if evidence.out is None:
        return None
    kept = ~evidence.model.lse.isneginf()
    bad = ~evidence.out.isfinite().all(dim=3) & kept
    if not bool(bad.any()):
        return None
    if evidence.lse is not None:
        bad |= ~evidence.lse.isfinite() & kept
    for query, value, what in ((1 / 64, 1.0, "logits"), (1.0, 1 / 1024, "values"), (1 / 64, 1 / 1024, "both")):
        scaled = Inputs(evidence.inputs.query * query, evidence.inputs.key, evidence.inputs.value * value, "smaller")
        if _finite(evidence.run(evidence.shown, scaled), evidence, kept):
            divisor = 64 if query < 1 else 1024
            phrase = f"not finite in {int(bad.sum())} rows, finite with {what} divided by {divisor}"
            return Diagnosis("overflow", phrase)
    rows = f"not finite in {int(bad.sum())} of {bad.numel()} rows"
    unmasked = replace(evidence.shown, mask=Dense())
    if not isinstance(evidence.problem.mask, Dense) and _finite(
        evidence.run(unmasked, evidence.inputs), evidence, kept
    ):
        return Diagnosis("empty rows", f"{rows}, finite without a mask: rows that see no key of a tile or split")
    longer = evidence.stretched(5 * LARGEST_TILE)
    if bad.all() and longer is not None and bool(longer.actual.isfinite().all()):
        return Diagnosis("empty rows", f"{rows}, finite with {5 * LARGEST_TILE} keys: a tile or split without keys")
    return Diagnosis("not finite", f"{rows}, whatever the size of the inputs")


def _finite(result: Output | Finding | None, evidence: Evidence, kept: Tensor) -> bool:
    if not isinstance(result, Output):
        return False
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
    seen = _seen_by_empty_rows(evidence, empty)
    if seen:
        return seen
    said = []
    wrong = output.out[empty]
    wrong = wrong[wrong != 0]
    if evidence.problem.wants_out and declared.out == "zero" and len(wrong):
        said.append(f"out is {float(wrong[0]):.3g} there, expected 0")
    if evidence.problem.wants_lse and output.lse is not None and declared.lse is not None:
        found = output.lse[empty]
        wrong = found[~torch.isclose(found, torch.full_like(found, declared.lse), equal_nan=True)]
        if len(wrong):
            said.append(f"lse is {float(wrong[0]):.4g} there, expected {declared.lse:g}")
    if not said:
        return None
    return Diagnosis("empty rows", f"{int(empty.sum())} rows may attend to no key: {'; '.join(said)}")


def _seen_by_empty_rows(evidence: Evidence, empty: Tensor) -> Diagnosis | None:
    """Rows before the first key of a causal mask that attend to keys by their logits, as if there were no mask."""
    if not isinstance(evidence.problem.mask, Causal) or evidence.uniform is None or evidence.varied is None:
        return None
    seen = (evidence.uniform.actual > 0) & empty.unsqueeze(3)
    if evidence.uniform.width > 1 or evidence.varied.width > 1 or not bool(seen.any()):
        return None
    expected = replace(evidence.varied_model, allowed=evidence.model.allowed | seen).weights
    off = (evidence.varied.actual - expected).abs()[seen.any(dim=3)]
    alike = (expected - evidence.uniform.actual).abs()[seen.any(dim=3)]
    # Rows that see one key, or keys of one logit, cannot tell.
    if not float(off.max()) < 0.02 < float(alike.max()):
        return None
    phrase = f"{int(seen.any(dim=3).sum())} rows that lie before the first key attend to keys: the diagonal is negative"
    return Diagnosis("causal diagonal", f"{phrase} there, and hides nothing")


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
        if share > MOST_BIAS * torch.finfo(evidence.problem.dtype).eps:
            return None
        side = "away from" if lean > 0 else "towards"
        return Diagnosis("sign bias", f"errors lean {side} zero: their mean is {abs(lean):.2f} of their RMS")
    return Diagnosis("precision", f"errors of {share:.2g} of the output without a pattern: too few bits are kept")


def _without_structure(evidence: Evidence) -> bool:
    """Whether the weights are right on average: they add up to 1, none is far off, and those of neighbouring keys are
    off by amounts of their own, not by one."""
    weights = evidence.weights
    if weights is None:
        return False
    total, expected = weights.actual.sum(dim=3), weights.expected.sum(dim=3)
    heavy = weights.expected > 2.0**-8
    off = (weights.actual / weights.expected - 1.0).where(heavy, torch.nan)
    if not bool(((total - expected).abs() < 0.1).all()) or float(off.abs().nan_to_num(0.0).max()) > 0.3:
        return False
    off = grouped(off - off.nanmean(dim=3, keepdim=True), GROUP)
    full = off.isfinite().sum(dim=4) >= GROUP // 2
    if int(full.sum()) < 8:
        return True
    between = float(off.nanmean(dim=4)[full].square().mean()) * GROUP / 2
    within = float((off - off.nanmean(dim=4, keepdim=True))[full].nan_to_num(0.0).square().mean())
    return between < 8 * within + 1e-30


def lse_not_finite(evidence: Evidence) -> Diagnosis | None:
    """An LSE that is not finite beside a finite output."""
    if evidence.lse is None:
        return None
    bad = ~evidence.lse.isfinite() & ~evidence.model.lse.isneginf()
    if not bool(bad.any()):
        return None
    return Diagnosis("not finite", f"lse is not finite in {int(bad.sum())} of {bad.numel()} rows, out is")


def lse_rounding(evidence: Evidence) -> Diagnosis | None:
    """An LSE that is a little off in each row, each by another amount."""
    if evidence.lse is None or evidence.lse_is_right or not evidence.out_is_right or not evidence.weights_are_right:
        return None
    kept = ~evidence.model.lse.isneginf()
    error = (evidence.lse - evidence.model.lse)[kept]
    if not bool(error.isfinite().all()) or float(error.abs().max()) > 0.05 or error.numel() < 8:
        return None
    if float(error.mean().abs()) > 0.5 * float(error.square().mean().sqrt()):
        return None
    return Diagnosis("precision", f"lse is off by up to {float(error.abs().max()):.2g}, each row by another amount")
