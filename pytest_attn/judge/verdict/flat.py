"""The verdict of a flat tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.tolerances import ALLCLOSE, SAME_DTYPE
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.judge.verdict.worst import Worst
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.same_dtype import same_dtype
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Limit:
    """Most absolute error of one result, one number or one per element, and in words where it comes from."""

    error: Tensor
    says: str


@dataclass(frozen=True, eq=False)
class FlatLimits:
    """What a flat tolerance allows on one problem; None where it says nothing of a result, or none is asked for."""

    out: Limit | None
    lse: Limit | None


def flat_limits(problem: Problem, inputs: Inputs, reference: Reference, names: Iterable[str]) -> dict[str, FlatLimits]:
    """The limits of flat tolerances by name, the same for every output of a problem.

    Plain attention in the input's dtype is computed where one of them needs it, and once.
    """
    plain = cache(lambda: _plain_error(problem, inputs, reference))
    return {name: _limits(problem, reference, name, plain) for name in names}


def flat(out: Tensor | None, lse: Tensor | None, reference: Reference, limits: FlatLimits) -> Verdict:
    """The verdict on an output `[B, H, Sq, Dv]` and an LSE `[B, H, Sq]`, each where asked for, under flat limits."""
    findings: list[Finding] = []
    figures: dict[str, float] = {}
    kept = ~reference.empty_rows.unsqueeze(3)
    compared: list[tuple[str, Tensor, Tensor, Limit]] = []
    if out is not None and reference.out is not None and limits.out is not None:
        compared.append(("out", out, reference.out, limits.out))
    if lse is not None and limits.lse is not None:
        compared.append(("lse", lse.unsqueeze(3), reference.lse.unsqueeze(3), limits.lse))
    for what, actual, expected, limit in compared:
        error = torch.where(kept, actual - expected, 0.0).abs()
        # 0 / 0 is right; NaN is not equal to 0 and stays, as the worst.
        worst = Worst.of(torch.where(error == 0, 0.0, error / limit.error).amax(dim=3))
        figures[f"{what}_error"], figures[f"{what}_share"] = float(error.max()), worst.share
        if not worst.share <= 1.0:
            words = f"error {error.max():.3g}, {worst.share:.3g} x {limit.says}"
            place = worst.place(reference.lse.shape)
            findings.append(Finding(what=what, tensor=what, words=words, figure=worst.share, limit=1.0, place=place))
    return Verdict(tuple(findings), figures)


def _limits(problem: Problem, reference: Reference, name: str, plain_error: Callable[[], float]) -> FlatLimits:
    if name in SAME_DTYPE:
        judged = problem.wants_out and reference.out is not None
        return FlatLimits(_same_dtype_limit(problem, name, plain_error()) if judged else None, None)
    tolerance = ALLCLOSE[name](problem)
    out = _allclose_limit(reference.out, name, *tolerance.out) if reference.out is not None else None
    return FlatLimits(out, _allclose_limit(reference.lse.unsqueeze(3), name, *tolerance.lse))


def _allclose_limit(expected: Tensor, name: str, rtol: float, atol: float) -> Limit:
    # The LSE is -inf in rows without keys, which are not compared.
    bound = atol + rtol * torch.where(torch.isneginf(expected), 0.0, expected).abs()
    return Limit(bound, f"the tolerance {name} (rtol {rtol:g}, atol {atol:g})")


def _same_dtype_limit(problem: Problem, name: str, plain_error: float) -> Limit:
    tolerance = SAME_DTYPE[name](problem)
    # An infinite error would allow everything.
    limit = max(tolerance.floor, tolerance.factor * plain_error) if math.isfinite(plain_error) else math.nan
    dtype = str(problem.dtype).removeprefix("torch.")
    says = f"the tolerance {name} ({tolerance.factor:g} x the error of plain {dtype} attention, {plain_error:.3g}"
    says += f", at least {tolerance.floor:g})" if tolerance.floor else ")"
    return Limit(torch.tensor(limit, dtype=problem.oracle_dtype), says)


def _plain_error(problem: Problem, inputs: Inputs, reference: Reference) -> float:
    """The largest error of plain attention in the input's dtype."""
    assert reference.out is not None
    error = same_dtype(problem, inputs).to(reference.out.dtype).sub_(reference.out).abs_()
    return float(torch.where(reference.empty_rows.unsqueeze(3), 0.0, error).max())
