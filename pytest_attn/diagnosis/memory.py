"""What a kernel reads or leaves where it must not: unwritten memory, memory beside its inputs, strides, state."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.memory_fill import UNWRITTEN
from pytest_attn.diagnosis.places import heads, named
from pytest_attn.kernels.kernel import Output


def written_inputs(evidence: Evidence) -> Diagnosis | None:
    """Facts of the verdict that name the bug by themselves."""
    for finding in evidence.verdict.findings:
        if finding.what == "inputs":
            return Diagnosis("inputs written", finding.phrase.removeprefix("the kernel wrote into its inputs: "))
        if finding.what == "outside":
            return Diagnosis("out of bounds", finding.phrase)
    return None


def state(evidence: Evidence) -> Diagnosis | None:
    """A result that depends on what was run before: right alone, or another one each time."""
    if evidence.right(evidence.second):
        return Diagnosis("stale state", "run again on the same inputs, the kernel is right")
    third = evidence.run(evidence.problem, evidence.inputs)
    if not isinstance(evidence.second, Output) or not isinstance(third, Output):
        return None
    pairs = [(evidence.second.out, third.out)] if evidence.problem.wants_out else []
    pairs += [(evidence.second.lse, third.lse)] if evidence.second.lse is not None and third.lse is not None else []
    if all(torch.equal(a.nan_to_num(0.5), b.nan_to_num(0.5)) for a, b in pairs):
        return None
    return Diagnosis("stale state", "two runs on the same inputs give different results")


def strides(evidence: Evidence) -> Diagnosis | None:
    """Right on the same inputs laid out contiguously."""
    if evidence.subject.layout == "contiguous":
        return None
    if not evidence.right(evidence.run(evidence.problem, evidence.inputs, layout="contiguous")):
        return None
    return Diagnosis("strides", "right where query, key and value are contiguous, wrong with strides of their own")


def beside_inputs(evidence: Evidence) -> Diagnosis | None:
    """Right where the memory beside the inputs holds zeros instead of NaN."""
    if not evidence.right(evidence.run(evidence.problem, evidence.inputs, around=0.0)):
        return None
    return Diagnosis(
        "out of bounds", "reads memory beside its inputs: right where that holds 0, wrong where it holds NaN"
    )


def unwritten(evidence: Evidence) -> Diagnosis | None:
    """Rows that still hold what the memory held before."""
    result = evidence.run(evidence.problem, evidence.inputs, unwritten=UNWRITTEN)
    if not isinstance(result, Output):
        return None
    kept = result.out == UNWRITTEN
    if evidence.problem.wants_out and bool(kept.any()):
        rows = kept.all(dim=3)
        if bool(rows.any()):
            return Diagnosis("unwritten rows", f"{_rows(rows)} of out are never written")
        if bool(kept.all(dim=(0, 1, 2)).any()):
            return Diagnosis("head dim", f"{named('column', kept.all(dim=(0, 1, 2)))} of out are never written")
        return Diagnosis("unwritten rows", f"{int(kept.sum())} of {kept.numel()} elements of out are never written")
    if result.lse is not None and bool((result.lse == UNWRITTEN).any()):
        rows = result.lse == UNWRITTEN
        return Diagnosis("lse unwritten", f"{_rows(rows)} of lse are never written")
    return None


def zero_rows(evidence: Evidence) -> Diagnosis | None:
    """Rows of zeros among rows that are right."""
    if evidence.out is None or evidence.output is None:
        return None
    zero = (evidence.out == 0).all(dim=3) & (evidence.model.reference().out != 0).any(dim=3)
    if not bool(zero.any()) or bool(zero.all()):
        return None
    expected = evidence.model.reference()
    assert expected.out is not None
    patched = replace(expected, out=expected.out.masked_fill(zero.unsqueeze(3), 0.0))
    if evidence.lse is not None:
        patched = replace(patched, lse=evidence.lse.where(zero, expected.lse))
    if not evidence.explained_by(patched):
        return None
    whole = torch.zeros((*zero.shape[:2], evidence.problem.query_length), dtype=torch.bool)
    whole[:, :, evidence.rows] = zero
    return Diagnosis("unwritten rows", f"{_rows(whole)} of out are 0, the others right")


def _rows(marked: Tensor) -> str:
    return f"{heads(marked.any(dim=2))}{named('row', marked.any(dim=(0, 1)))}"
