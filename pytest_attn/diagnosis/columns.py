"""Columns of the output: which are wrong among others, and which columns of the values they hold."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.memory_fill import UNWRITTEN
from pytest_attn.diagnosis.places import named
from pytest_attn.diagnosis.runs import Runs
from pytest_attn.judge.verdict.false_alarms import PER_CELL
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.problem import Problem


def wrong_columns(runs: Runs) -> Diagnosis | None:
    """Columns of the output that are wrong among others that are right, and differ from these where all columns of the
    values are equal."""
    problem, output = runs.problem, runs.second
    if not problem.wants_out or problem.num_splits or not isinstance(output, Output):
        return None
    wrong = _beyond_rounding(runs, output.out)
    if not bool(wrong.any()) or bool(wrong.all()):
        return None
    differ = _differ_from(runs, int((~wrong).nonzero()[0]))
    if differ is None or not bool(differ[wrong].all()):
        return None
    marked = wrong | differ
    assert runs.truth.out is not None
    mended = replace(output, out=torch.where(marked, runs.truth.out.to(output.out), output.out))
    if not runs.right(mended):
        return None
    return Diagnosis("head dim", f"{named('column', marked)} of out {_what(runs, output.out, marked)}")


def _beyond_rounding(runs: Runs, out: Tensor) -> Tensor:
    """bool `[Dv]`: columns with an element that no rounding explains."""
    allowed, truth = runs.subject.budget(runs.problem, runs.inputs).out, runs.truth
    assert allowed is not None
    assert truth.out is not None
    off = (out.to(truth.out) - truth.out).abs()
    within = off <= PER_CELL.largest_deviation(off.numel()) * allowed.sigma
    return (~within & ~truth.empty_rows.unsqueeze(3)).any(dim=2).any(dim=1).any(dim=0)


def _differ_from(runs: Runs, right: int) -> Tensor | None:
    """bool `[Dv]`: columns that differ from one that is right, where all columns of the values are equal."""
    result = runs.run(runs.problem, replace(runs.inputs, value=_equal_columns(runs.problem).to(runs.inputs.value)))
    if not isinstance(result, Output):
        return None
    out = result.out.masked_fill(runs.truth.empty_rows.unsqueeze(3), 0.0)
    return _off(out, out[..., right : right + 1], runs.problem)


def _equal_columns(problem: Problem) -> Tensor:
    """Normal values `[B, Hkv, Skv, Dv]` that are the same in every column."""
    generator = torch.Generator().manual_seed(0)
    column = torch.randn((problem.batch, problem.key_heads, problem.key_length, 1), generator=generator)
    return column.expand(-1, -1, -1, problem.value_dim).contiguous()


def _off(out: Tensor, column: Tensor, problem: Problem) -> Tensor:
    """bool `[Dv]`: columns that differ from a column by more than rounding."""
    size = out.abs().nan_to_num(0.0, posinf=0.0).amax()
    equal = (out - column).abs() <= 8 * torch.finfo(problem.dtype).eps * size
    return (~equal).any(dim=2).any(dim=1).any(dim=0)


def _what(runs: Runs, out: Tensor, marked: Tensor) -> str:
    """What is wrong with those columns."""
    filled = runs.run(runs.problem, runs.inputs, unwritten=UNWRITTEN)
    kept = ~runs.truth.empty_rows
    if isinstance(filled, Output) and bool((filled.out[..., marked][kept] == UNWRITTEN).all()):
        return "are never written"
    return "are 0, the others right" if not bool(out[..., marked].any()) else "are wrong, the others right"


def value_columns(evidence: Evidence) -> Diagnosis | None:
    """Columns of the output that differ where all columns of the values are equal, and none of which is right."""
    problem = evidence.problem
    out = evidence.output_of_values(_equal_columns(problem))
    if out is None or not bool(out.isfinite().all()):
        return None
    wrong, others = _off(out, out.median(dim=3, keepdim=True).values, problem), "the others"
    if bool(wrong.all()):
        # Two halves: the median lies in either of them.
        wrong = _off(out, out[..., :1], problem)
        others = named("column", ~wrong)
    if not bool(wrong.any()):
        return None
    phrase = f"{named('column', wrong)} of out differ from {others} where all columns of the values are equal"
    return Diagnosis("head dim", phrase)


def column_order(evidence: Evidence) -> Diagnosis | None:
    """Columns of the output that hold other columns of the values."""
    dim = evidence.problem.value_dim
    out = evidence.output_of_values(torch.arange(1.0, dim + 1))
    ones = evidence.output_of_values(torch.ones(dim))
    if out is None or ones is None or dim == 1 or not bool((ones > 2.0**-8).all()):
        return None
    read = (out / ones).flatten(0, 2)
    held = read.median(dim=0).values
    expected = torch.arange(1.0, dim + 1)
    # A number may have lost all but three bits.
    slack = 0.12 * expected + 0.3
    if bool(((read - held).abs() > slack).any()) or bool((held < 0.5).any()) or bool((held > dim + 0.5).any()):
        return None
    wrong = ((held - expected).abs() > slack).nonzero().flatten()
    if not len(wrong):
        return None
    first = int(wrong[0])
    phrase = f"column {first} of out holds column {round(float(held[first])) - 1} of the values"
    return Diagnosis("head dim", f"{phrase} ({len(wrong)} of {dim} are wrong)")
