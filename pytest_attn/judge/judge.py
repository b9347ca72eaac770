"""The judge: compares what a kernel returned with the reference, against the budget or a flat tolerance."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.judge.budget import Budget, budget
from pytest_attn.judge.facts import facts
from pytest_attn.judge.flat import flat, flat_limits
from pytest_attn.judge.statistics import largest_deviation, row_rms_limits, value_rank
from pytest_attn.judge.tolerances import DERIVED
from pytest_attn.judge.verdict import Finding, Verdict
from pytest_attn.judge.worst import Worst
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def judge(
    problem: Problem, inputs: Inputs, output: Output, reference: Reference, kernel: Kernel, tolerance: str = DERIVED
) -> Verdict:
    """The verdict on an output of `kernel` for a problem. Facts come first: values are compared only where shape,
    dtype and finiteness are right."""
    empty = reference.empty_rows
    findings = facts(problem, output, empty, kernel.empty_rows)
    if findings:
        return Verdict(tuple(findings))
    out = output.out.detach().cpu().to(problem.oracle_dtype) if problem.wants_out else None
    lse = output.lse.detach().cpu().to(problem.oracle_dtype) if output.lse is not None and problem.wants_lse else None
    if tolerance == DERIVED:
        return _derived(
            out, lse, reference, budget(problem, inputs, reference, kernel.numerics_for(problem.dtype)), inputs
        )
    return flat(out, lse, reference, flat_limits(problem, inputs, reference, [tolerance])[tolerance])


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
