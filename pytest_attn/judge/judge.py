"""The judge: compares what a kernel returned with the reference, against the budget or a flat tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.budget import Budget, budget
from pytest_attn.judge.facts import facts
from pytest_attn.judge.statistics import largest_deviation, row_rms_limits, value_rank
from pytest_attn.judge.tolerances import DERIVED, TOLERANCES
from pytest_attn.judge.verdict import Finding, Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

ROWS_NAMED = 128
"""A finding names the run of this many rows in which its worst row lies."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest share of its limit that a statistic reaches, and where."""

    share: float
    batch: int
    head: int
    row: int
    over: int
    """Rows over the limit."""

    @staticmethod
    def of(shares: Tensor) -> Worst:
        """The worst of `[B, H, Sq]` shares of a limit; NaN counts as the worst."""
        flat = torch.where(torch.isnan(shares), math.inf, shares).flatten()
        index = int(flat.argmax())
        _, heads, rows = shares.shape
        return Worst(
            float(flat[index]), index // (heads * rows), index // rows % heads, index % rows, int((flat > 1.0).sum())
        )

    def place(self, shape: torch.Size) -> str:
        """Head and rows in words, e.g. "head 1, rows 896-1023"."""
        first = self.row // ROWS_NAMED * ROWS_NAMED
        last = min(first + ROWS_NAMED, shape[2]) - 1
        batch = f"batch {self.batch}, " if shape[0] > 1 else ""
        rows = f"row {first}" if first == last else f"rows {first}-{last}"
        return f"{batch}head {self.head}, {rows} ({self.over} of {shape.numel()} rows over the limit)"


def judge(
    problem: Problem,
    inputs: Inputs,
    output: Output,
    reference: Reference,
    kernel: Kernel,
    tolerance: str = DERIVED,
    allowed: Budget | None = None,
) -> Verdict:
    """The verdict on an output of `kernel` for a problem. Facts come first: values are compared only where shape,
    dtype and finiteness are right.

    `allowed`: the budget where the reference has errors of its own; None = that of the kernel on the problem.
    """
    empty = reference.empty_rows
    findings = facts(problem, output, empty, kernel.empty_rows)
    if findings:
        return Verdict(tuple(findings))
    out = output.out.detach().cpu().to(problem.oracle_dtype) if problem.wants_out else None
    lse = output.lse.detach().cpu().to(problem.oracle_dtype) if output.lse is not None and problem.wants_lse else None
    if tolerance == DERIVED:
        allowed = allowed or budget(problem, inputs, reference, kernel.numerics_for(problem.dtype))
        return _derived(out, lse, reference, allowed, inputs)
    return _flat(out, lse, reference, problem, tolerance)


def _derived(out: Tensor | None, lse: Tensor | None, reference: Reference, allowed: Budget, inputs: Inputs) -> Verdict:
    findings: list[Finding] = []
    figures: dict[str, float] = {}
    kept = ~reference.empty_rows
    if out is not None and reference.out is not None and allowed.out is not None:
        deviations = torch.where(kept.unsqueeze(3), (out - reference.out) / allowed.out, 0.0)
        row_rms = deviations.square().mean(dim=3).sqrt()
        row_limits = row_rms_limits(_degrees_of_freedom(reference, inputs))
        largest = deviations.abs().amax(dim=3)
        limit = largest_deviation(deviations.numel())
        figures["out_rms"] = float(deviations.square().mean().sqrt())
        figures["out_row_rms"], figures["out_largest"] = float(row_rms.max()), float(largest.max())
        worst = Worst.of(row_rms / row_limits)
        if not worst.share <= 1.0:
            text = f"out: row RMS {row_rms.max():.3g} x the rounding error expected, limit {_at(row_limits, worst):.3g}"
            findings.append(Finding("out_row_rms", f"{text}, {worst.place(kept.shape)}"))
        worst = Worst.of(largest / limit)
        if not worst.share <= 1.0:
            text = f"out: an element is off by {largest.max():.3g} standard deviations of rounding, limit {limit:.3g}"
            findings.append(Finding("out_largest", f"{text}, {worst.place(kept.shape)}"))
    if lse is not None and allowed.lse is not None:
        # -inf - -inf is NaN: empty rows were compared as facts.
        error = torch.where(kept, lse - reference.lse, 0.0)
        limits = allowed.lse_shift + largest_deviation(error.numel()) * allowed.lse
        worst = Worst.of(torch.where(kept, error.abs() / limits.clamp_min(1e-300), 0.0))
        figures["lse_error"], figures["lse_share"] = float(error.abs().max()), worst.share
        if not worst.share <= 1.0:
            text = f"lse: off by {_at(error, worst):+.3g}, limit {_at(limits, worst):.3g}"
            findings.append(Finding("lse", f"{text}, {worst.place(kept.shape)}"))
    return Verdict(tuple(findings), figures)


def _degrees_of_freedom(reference: Reference, inputs: Inputs) -> Tensor:
    """Independent errors behind the RMS of each row `[B, H, Sq]`: no more than keys with weight, nor than the value's
    rank.

    A rounded probability is off in every element of the row at once, so a row that few keys carry has few errors.
    """
    assert reference.moments is not None
    moments = reference.moments
    keys = moments.weight_square / moments.peak.square().clamp_min(1e-30)
    rank = value_rank(inputs.value.cpu()).unsqueeze(2)
    group = keys.shape[1] // rank.shape[1]
    return 1.0 / (1.0 / keys.clamp_min(1.0) + 1.0 / rank.repeat_interleave(group, dim=1).to(keys.dtype))


def _at(values: Tensor, worst: Worst) -> float:
    return float(values[worst.batch, worst.head, worst.row])


def _flat(out: Tensor | None, lse: Tensor | None, reference: Reference, problem: Problem, name: str) -> Verdict:
    findings: list[Finding] = []
    figures: dict[str, float] = {}
    kept = ~reference.empty_rows
    flat = TOLERANCES[name](problem)
    compared: list[tuple[str, Tensor, Tensor, tuple[float, float]]] = []
    if out is not None and reference.out is not None:
        compared.append(("out", out, reference.out, flat.out))
    if lse is not None:
        compared.append(("lse", lse.unsqueeze(3), reference.lse.unsqueeze(3), flat.lse))
    for what, actual, expected, (rtol, atol) in compared:
        error = torch.where(kept.unsqueeze(3), actual - expected, 0.0).abs()
        bound = atol + rtol * torch.where(kept.unsqueeze(3), expected, 0.0).abs()
        worst = Worst.of((error / bound).amax(dim=3))
        figures[f"{what}_error"], figures[f"{what}_share"] = float(error.max()), worst.share
        if not worst.share <= 1.0:
            limit = f"the tolerance {name} (rtol {rtol:g}, atol {atol:g})"
            text = f"{what}: error {error.max():.3g}, {worst.share:.3g} x {limit}"
            findings.append(Finding(what, f"{text}, {worst.place(kept.shape)}"))
    return Verdict(tuple(findings), figures)
