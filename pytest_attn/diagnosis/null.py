"""Results that depend on the inputs in no way, or not as attention does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.model import Model
from pytest_attn.problem.inputs import Inputs


def kept_result(evidence: Evidence) -> Diagnosis | None:
    """A finite output that is not zero and stays the same, bit for bit, with other values."""
    out = evidence.out
    if out is None or not bool(out.isfinite().all()) or not bool(out.any()):
        return None
    value = evidence.inputs.value
    other = evidence.output_of_values(value * -2.0)
    if other is not None and torch.equal(other, out):
        return Diagnosis("null", "out is the same whatever the values are")
    return None


def null(evidence: Evidence) -> Diagnosis | None:
    """Results that are no attention, on the case and on other inputs."""
    if evidence.out is None or evidence.out_is_right:
        return None
    right = evidence.model.reference()
    for phrase, guess in NULLS.items():
        out = guess(evidence.model)
        if not evidence.explained_by(replace(right, out=out.expand_as(evidence.out)), "out"):
            continue
        inputs = _other_inputs(evidence)
        other = evidence.output_of(inputs)
        expected = guess(Model.of(evidence.problem, inputs, evidence.rows))
        if other is not None and float((other - expected).abs().max()) < 0.02 * float(expected.abs().max()) + 1e-6:
            return Diagnosis("null", phrase)
    return None


def zero(evidence: Evidence) -> Diagnosis | None:
    """Zeros, on the case and on other inputs."""
    if evidence.out is None or evidence.out_is_right or bool(evidence.out.any()):
        return None
    other = evidence.output_of(_other_inputs(evidence))
    if other is None or bool(other.any()):
        return None
    return Diagnosis("null", "out is zero")


def _other_inputs(evidence: Evidence) -> Inputs:
    drawn = Inputs.draw(evidence.problem, evidence.subject.seed + 1)
    return drawn.to(evidence.inputs.query.device)


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
