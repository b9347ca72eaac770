"""A softmax scale, or a factor of the output, that is not what was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.model import Model
from pytest_attn.diagnosis.online import GROUP, HEAVY, Levels, grouped
from pytest_attn.diagnosis.runs import FAR_OFF
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import Moments
from pytest_attn.problem.problem import Problem, torch_dtype

THIN_ROWS = 16
"""Rows that a hypothesis is tried on before all others."""

STEPS = 5
STEP = 1e-3

OTHER_SCALE = 0.75
"""A factor of the scale that tells what is computed from it from what is not."""

SAME_SCALE = 0.05
"""Two scales that differ by less are one."""

ALONG = 0.4
"""By what share of the rounding of a scale the scale that a result seems to have may be off."""


def softmax_scale(evidence: Evidence) -> Diagnosis | None:
    """The scale with which exact attention gives the kernel's result, or its weights."""
    expected = evidence.problem.scale
    own = evidence.problem.data_type.name
    for name in sorted(("bfloat16", "float16"), key=lambda name: name != own):
        rounded = float(torch.tensor(expected, dtype=torch_dtype(name)))
        if rounded == expected or not _plausible(evidence, rounded):
            continue
        if evidence.explained_by(replace(evidence.model, scale=rounded).reference()) and _goes_along(evidence, rounded):
            words = f"softmax scale is rounded to {name}: {rounded:.6g}, expected {expected:.6g}"
            if name == own:
                words += "; scale='input' declares it"
            return Diagnosis("precision", words)
    for scale, _ in _meanings(evidence.problem):
        if math.isclose(scale, expected, rel_tol=1e-6):
            continue
        if _explains(evidence, scale):
            return Diagnosis("scale", f"softmax scale is {scale:.4g}{_why(evidence, scale)}, expected {expected:.4g}")
    return None


def _why(evidence: Evidence, scale: float, rel_tol: float = 1e-6) -> str:
    """What a scale may come from, in parentheses: of several, those that the result for another scale leaves."""
    problem = evidence.problem
    fitting = [meaning for other, meaning in _meanings(problem) if math.isclose(other, scale, rel_tol=rel_tol)]
    if len(fitting) > 1:
        other = replace(evidence.shown, scale=OTHER_SCALE * problem.scale)
        output = _output_of(evidence, other)
        kept = [
            meaning
            for scale, meaning in _meanings(other)
            if meaning in fitting and output and _is_scale(evidence, scale, output)
        ]
        fitting = kept or fitting
    return f" ({', or '.join(fitting)})" if fitting else ""


def _is_scale(evidence: Evidence, scale: float, output: Output) -> bool:
    """Whether a result has a scale, to a few percent."""
    change = _relative_change(evidence, replace(evidence.model, scale=scale), output)
    return change is not None and abs(change) < SAME_SCALE


def _output_of(evidence: Evidence, problem: Problem) -> Output | None:
    """The result for another problem of these shapes, in the rows that are looked at; None where it is not claimed."""
    if not evidence.subject.claims(problem):
        return None
    result = evidence.run(problem, evidence.inputs)
    if not isinstance(result, Output):
        return None
    lse = None if result.lse is None else result.lse[:, :, evidence.rows]
    return Output(result.out[:, :, evidence.rows], lse)


def _goes_along(evidence: Evidence, rounded: float) -> bool:
    """Whether errors are those of the rounded scale on the case, and none of that kind are there for a power of two,
    which no rounding changes.

    An error of another cause, such as that of a fast exponential, is there for both.
    """
    scale = evidence.problem.scale
    exact = math.copysign(2.0 ** round(math.log2(abs(scale))), scale)
    there = _output_of(evidence, replace(evidence.shown, scale=exact))
    if there is None or evidence.output is None:
        return False
    off = [
        _relative_change(evidence, each, output)
        for each, output in ((evidence.model, evidence.output), (replace(evidence.model, scale=exact), there))
    ]
    if None in off:
        return False
    change = rounded / scale - 1.0
    return abs(off[0] / change - 1.0) < ALONG and abs(off[1] / change) < ALONG  # type: ignore[operator]


def _relative_change(evidence: Evidence, model: Model, output: Output) -> float | None:
    """By what share the scale of a result seems to differ from that of a model: one step of Gauss-Newton."""
    there = replace(model, scale=model.scale * (1.0 + STEP))
    use_lse = not evidence.problem.wants_out
    found = output.lse if use_lse else output.out
    value, slope = (model.lse, there.lse - model.lse) if use_lse else (model.out, there.out - model.out)
    size = float(slope.nan_to_num(0.0).square().sum())
    if found is None or not size > 0:
        return None
    return float(((found - value) * slope).nan_to_num(0.0).sum()) / size * STEP


def _explains(evidence: Evidence, scale: float) -> bool:
    if not _plausible(evidence, scale):
        return False
    reference = replace(evidence.model, scale=scale).reference()
    # The LSE may be wrong once more: the exponential's base is in both.
    return evidence.explained_by(reference) or (
        not evidence.out_is_right and evidence.explained_by(reference, "out") and not evidence.weights_are_right
    )


def fitted_scale(evidence: Evidence) -> Diagnosis | None:
    """The scale that explains the result best, or the weights within every tile: tiles may be put together wrongly for
    want of it."""
    expected = evidence.problem.scale
    near = _nearest(evidence)
    if near is not None and not math.isclose(near, expected, rel_tol=5e-3) and _explains(evidence, near):
        return Diagnosis("scale", f"softmax scale is {near:.4g}, expected {expected:.4g}")
    weights, fitted = evidence.varied, _fitted(evidence)
    if weights is None or fitted is None or math.isclose(fitted, expected, rel_tol=5e-3):
        return None
    if _explains(evidence, fitted):
        return Diagnosis("scale", f"softmax scale is {fitted:.4g}, expected {expected:.4g}")
    power = weights.expected ** (fitted / expected)
    within = replace(weights, expected=power / power.sum(dim=3, keepdim=True).clamp_min(1e-30))
    if abs(fitted / expected - 1.0) < 0.05 or not Levels.of(within).even:
        return None
    why = _why(evidence, fitted, 5e-3)
    return Diagnosis("scale", f"softmax scale is {fitted:.4g}{why} within a tile of keys, expected {expected:.4g}")


def _nearest(evidence: Evidence) -> float | None:
    """The scale at which the output, or the LSE, is closest to the kernel's: Gauss-Newton from the right one.

    The derivative is that of a model at a scale a little larger.
    """
    use_lse = not evidence.problem.wants_out
    found = _thin(evidence, evidence.lse if use_lse else evidence.out)
    if found is None or not bool(found.isfinite().all()):
        return None
    scale = evidence.problem.scale
    for _ in range(STEPS):
        here, there = (_thin_model(evidence, scale * factor) for factor in (1.0, 1.0 + STEP))
        value, slope = (here.lse, there.lse - here.lse) if use_lse else (here.out, there.out - here.out)
        size = float(slope.square().sum())
        if not size > 0:
            return None
        change = float(((found - value) * slope).sum()) / size * STEP
        scale *= 1.0 + min(max(change, -0.5), 1.0)
    return scale


def _thin_model(evidence: Evidence, scale: float) -> Model:
    """The model at a scale, in a few rows."""
    step = -(-len(evidence.rows) // THIN_ROWS)
    model = evidence.model
    return replace(model, query=model.query[:, :, ::step], allowed=model.allowed[:, :, ::step], scale=scale)


def _thin(evidence: Evidence, result: Tensor | None) -> Tensor | None:
    """The rows of a result that `_thin_model` computes; None where there is no result."""
    return None if result is None else result[:, :, :: -(-len(evidence.rows) // THIN_ROWS)]


def _plausible(evidence: Evidence, scale: float) -> bool:
    """Whether a scale comes close to the result in a few rows: most do not."""
    model, out, lse = _thin_model(evidence, scale), _thin(evidence, evidence.out), _thin(evidence, evidence.lse)
    found, expected = (lse, model.lse) if out is None or not evidence.problem.wants_out else (out, model.out)
    if found is None:
        return False
    kept = ~model.lse.isneginf()
    off, size = (found - expected)[kept].square().sum(), expected[kept].square().sum()
    return bool(off <= FAR_OFF**2 * size)


def _meanings(problem: Problem) -> Iterator[tuple[float, str]]:
    """Scales that a kernel may take for that of a problem, and what each is."""
    scale, dim, value_dim = problem.scale, problem.head_dim, problem.value_dim
    yield 1.0, "none"
    yield 1 / dim, "1 / head_dim"
    yield 1 / math.sqrt(dim), "1 / sqrt(head_dim), the one given is ignored"
    yield 1 / math.sqrt(value_dim), "1 / sqrt(value_dim)"
    yield 1 / math.sqrt(1 << (dim - 1).bit_length()), "1 / sqrt of head_dim rounded up to a power of two"
    yield 1 / math.sqrt(-(-dim // 64) * 64), "1 / sqrt of head_dim rounded up to 64"
    yield scale * math.log(2), "times ln 2: log2(e) is missing before exp2"
    yield scale * math.log2(math.e), "times log2(e), twice applied"
    yield scale * scale, "applied twice"
    yield scale / math.sqrt(dim), "divided by sqrt(head_dim)"
    yield scale * math.sqrt(dim), "times sqrt(head_dim)"


def _fitted(evidence: Evidence) -> float | None:
    """The scale that explains the logarithms of the weights best, by least squares; None where they say nothing.

    log W_ij = (scale' / scale) log P_ij + c: the slope over neighbouring keys of each row, all rows together.
    """
    weights = evidence.varied
    if weights is None or weights.width > 1:
        return None
    actual, expected = (grouped(w, GROUP) for w in (weights.actual, weights.expected))
    heavy = (expected > HEAVY) & (actual > HEAVY)
    count = heavy.sum(dim=4, keepdim=True).clamp_min(1)
    logs = [w.clamp_min(HEAVY).log().where(heavy, 0.0) for w in (expected, actual)]
    x, y = ((log - log.sum(dim=4, keepdim=True) / count).where(heavy, 0.0) for log in logs)
    spread = float(x.square().sum())
    if spread <= 1e-3 * int(heavy.sum()):
        return None
    return evidence.problem.scale * float((x * y).sum()) / spread


def output_factor(evidence: Evidence) -> Diagnosis | None:
    """An output that is a multiple of the right one."""
    expected = evidence.model.reference()
    if evidence.out is None or expected.out is None or expected.moments is None or not evidence.lse_is_right:
        return None
    out = evidence.out.nan_to_num(0.0)
    factor = float((out * expected.out).sum() / expected.out.square().sum().clamp_min(1e-30))
    if abs(factor - 1.0) < 1e-2 or abs(factor) < 1e-2:
        return None
    assert expected.moments.value_square is not None
    moments = Moments(
        expected.moments.weight_square * factor**2,
        expected.moments.peak * abs(factor),
        expected.moments.value_square * factor**2,
    )
    if not evidence.explained_by(replace(expected, out=expected.out * factor, moments=moments), "out"):
        return None
    return Diagnosis("scale", f"out is {factor:.4g} times what is expected")
