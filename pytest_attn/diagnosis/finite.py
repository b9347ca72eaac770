"""Infinities, NaN, and rows that may attend to nothing."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.attended import LARGEST_TILE
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Causal, Dense


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


def lse_not_finite(evidence: Evidence) -> Diagnosis | None:
    """An LSE that is not finite beside a finite output."""
    if evidence.lse is None:
        return None
    bad = ~evidence.lse.isfinite() & ~evidence.model.lse.isneginf()
    if not bool(bad.any()):
        return None
    return Diagnosis("not finite", f"lse is not finite in {int(bad.sum())} of {bad.numel()} rows, out is")
