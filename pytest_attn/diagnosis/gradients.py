"""What is wrong with gradients: which step of the backward pass gives them."""

from __future__ import annotations

import math
from itertools import chain

import torch
from torch import Tensor

from pytest_attn.diagnosis.backward import Backward
from pytest_attn.diagnosis.backward_guesses import Guess, guesses
from pytest_attn.diagnosis.backward_variants import variant_guesses
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.judge.verdict.false_alarms import PER_CELL
from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import ReferenceGradients

CLOSER = 8.0
"""How many times nearer a gradient lies to what a bug makes it than to the truth."""

MOST_PAIRS = 1 << 23
"""Pairs of query and key of a problem whose backward pass is computed again, in float64, for each guess."""

EXPONENT = 16
"""A common size of s - lse where that is positive."""

NOISE = 2.0
"""How far the rounding of a wrong backward pass may lie above that of a right one."""

MOST_EXPONENT = math.log(torch.finfo(torch.float32).max)
"""The exponential of more than this is infinite in float32."""


def padding_overflows(evidence: Evidence) -> Diagnosis | None:
    """dQ is not a number in just the rows where exp(-lse) overflows, and right in all others, as are dK and dV."""
    if not isinstance(evidence.second, Output) or evidence.second.grads is None or evidence.is_finite:
        return None
    truth, found = evidence.truth, evidence.second.grads
    broken = ~found.dq.isfinite().all(dim=3)
    if truth.grads is None or not torch.equal(broken, -truth.lse > MOST_EXPONENT):
        return None
    kept = found._replace(dq=torch.where(broken.unsqueeze(3), truth.grads.dq.to(found.dq.dtype), found.dq))
    if not evidence.right(Output(evidence.second.out, None, kept)):
        return None
    phrase = "dq is not finite where exp(-lse) overflows: padding keys have the logit 0 in the backward pass, not -inf"
    return Diagnosis("tail", phrase)


def wrong_step(evidence: Evidence) -> Diagnosis | None:
    """The first step of the backward pass that, done wrong, gives the kernel's gradients; and the next that gives them
    as well."""
    problem, output = evidence.problem, evidence.second
    scores = problem.batch * problem.query_heads * problem.query_length * problem.key_length
    if scores > MOST_PAIRS or not isinstance(output, Output) or output.grads is None:
        return None
    if not evidence.is_finite or evidence.truth.grads is None:
        return None
    errors = _Errors(evidence, output.grads, evidence.truth.grads)
    first: Guess | None = None
    inputs = evidence.inputs.to(torch.device("cpu"))
    true = Backward.of(problem, inputs, evidence.truth)
    for guess in chain(variant_guesses(true, inputs), guesses(true)):
        if evidence.box.left <= 0:
            break
        if (first is None or guess.phrase != first.phrase) and errors.explained_by(guess):
            if first is not None:
                return Diagnosis(first.kind, first.phrase, (guess.phrase,))
            first = guess
    return Diagnosis(first.kind, first.phrase) if first else None


class _Errors:
    """Gradients of a kernel beside the true ones, and what rounding may make of those."""

    def __init__(self, evidence: Evidence, found: Gradients, truth: ReferenceGradients) -> None:
        allowed = evidence.subject.budget(evidence.problem, evidence.inputs).grads
        assert allowed is not None
        self._found = {name: tensor.double() for name, tensor in found._asdict().items()}
        self._truth = {name: tensor.double() for name, tensor in truth._asdict().items()}
        # exp(s - lse) of a pair that should be hidden has the error of a large exponent.
        self._unit = torch.finfo(evidence.problem.dtype).eps + EXPONENT * torch.finfo(torch.float32).eps
        self._sigma = {name: budget.allowed.sigma for name, budget in allowed._asdict().items()}

    def explained_by(self, guess: Guess) -> bool:
        """Whether all gradients are within rounding what a guess says, and those that are wrong nearer to that than to
        the truth by far."""
        changed = False
        for name, expected in guess.gradients._asdict().items():
            truth, found = self._truth[name], self._found[name]
            off, wrong = found - expected, found - truth
            if self._is_rounding(name, wrong, truth):
                if not self._is_rounding(name, off, expected):
                    return False
                continue
            # The kernel rounds the other way where a number lies in the middle, and is then off by a whole last bit.
            if not guess.rounds and not self._is_rounding(name, off, expected):
                return False
            if not (self._rounds_to(off, wrong, truth) if guess.rounds else _rms(off) * CLOSER <= _rms(wrong)):
                return False
            changed = True
        return changed

    def _rounds_to(self, off: Tensor, wrong: Tensor, truth: Tensor) -> bool:
        """Whether most errors vanish with a rounding, and none is larger than roundings are."""
        # Most of packed gradients may be padding, which has none.
        there = truth != 0
        return _rms(off) <= _rms(wrong - off) and _median(off[there]) * CLOSER < _median(wrong[there])

    def _is_rounding(self, name: str, off: Tensor, expected: Tensor) -> bool:
        """Whether errors are no more than rounding makes of a gradient of that size."""
        larger = max(1.0, _rms(expected) / max(_rms(self._truth[name]), 1e-300))
        sigma = self._sigma[name] * larger * NOISE
        # Where the true gradient is 0 its budget is too, and that of a wrong one need not be.
        rows = expected.square().mean(dim=3, keepdim=True).sqrt()
        sigma = torch.maximum(sigma.clamp_min(0.1 * _rms(sigma)), self._unit * rows)
        if not bool(off.isfinite().all()) or _rms(off) > _rms(sigma):
            return False
        return bool((off.abs() <= PER_CELL.largest_deviation(off.numel()) * sigma).all())


def _median(tensor: Tensor) -> float:
    return float(tensor.abs().median())


def _rms(tensor: Tensor) -> float:
    return float(tensor.square().mean().sqrt())
