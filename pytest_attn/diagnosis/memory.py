"""What a kernel reads or leaves where it must not: unwritten memory, memory beside its inputs, strides."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.memory_fill import UNWRITTEN
from pytest_attn.diagnosis.places import heads, named
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.masks import BlockSparse

LAYOUTS = {(0, 2, 1, 3): "[B, Sq, H, Dv]", (0, 1, 3, 2): "[B, H, Dv, Sq]", (2, 0, 1, 3): "[Sq, B, H, Dv]"}
"""Orders in which an output may be stored."""


def written_inputs(evidence: Evidence) -> Diagnosis | None:
    """Facts of the verdict that name the bug by themselves."""
    for finding in evidence.verdict.findings:
        if finding.what == "inputs":
            return Diagnosis("inputs written", finding.phrase)
        if finding.what == "outside":
            return Diagnosis("out of bounds", finding.phrase)
    return None


def strides(evidence: Evidence) -> Diagnosis | None:
    """Right on the same inputs laid out contiguously."""
    if evidence.subject.layout == "contiguous":
        return None
    if not evidence.right(evidence.run(evidence.problem, evidence.inputs, layout="contiguous")):
        return None
    names = "query, key, value and grad_out" if evidence.problem.wants_grad else "query, key and value"
    return Diagnosis("strides", f"right where {names} are contiguous, wrong with strides of their own")


def value_strides(evidence: Evidence) -> Diagnosis | None:
    """Values read with the row length of the keys, where the two differ."""
    problem, value = evidence.problem, evidence.inputs.value
    dim, length = problem.head_dim, problem.key_length
    if dim == problem.value_dim or evidence.subject.layout != "contiguous" or evidence.out_is_right:
        return None
    result = evidence.run(evidence.shown, evidence.inputs, around=0.0)
    if not isinstance(result, Output):
        return None
    flat = value.detach().to("cpu", problem.oracle_dtype).flatten()
    head = torch.arange(problem.batch * problem.key_heads).view(-1, 1, 1) * length * dim
    place = head + torch.arange(length).view(-1, 1) * dim + torch.arange(problem.value_dim)
    read = torch.nn.functional.pad(flat, (0, max(int(place.max()) + 1 - len(flat), 0)))[place]
    heads_of = torch.arange(problem.batch).unsqueeze(1) * problem.key_heads
    heads_of = heads_of + torch.arange(problem.query_heads) // problem.group
    guess = replace(evidence.model, value=read[heads_of])
    expected = guess.reference()
    assert expected.out is not None
    # What lies beyond the values is not known: heads that read there may hold anything.
    inside = (place.amax(dim=(1, 2)) < len(flat))[heads_of].unsqueeze(2)
    off = (expected.out - evidence.model.out).abs()[inside.expand(expected.lse.shape)]
    if not bool((off > 0.01 * evidence.model.out.abs().amax()).any()):
        return None
    found = result.out[:, :, evidence.rows]
    known = torch.where(inside.unsqueeze(3), found, expected.out.to(found.dtype))
    rows = Output(known, None if result.lse is None else result.lse[:, :, evidence.rows])
    if not evidence.explained_by(expected, output=rows):
        return None
    phrase = f"values are read with the strides of the keys: {dim} elements a row, expected {problem.value_dim}"
    return Diagnosis("strides", phrase)


def out_layout(evidence: Evidence) -> Diagnosis | None:
    """A right output stored in another order of its dimensions."""
    output, expected = evidence.output, evidence.model.reference()
    if output is None or evidence.out_is_right or len(evidence.rows) < evidence.problem.query_length:
        return None
    shape = output.out.shape
    for order, name in LAYOUTS.items():
        stored = output.out.reshape([shape[dimension] for dimension in order])
        back = stored.permute([order.index(dimension) for dimension in range(4)])
        if not torch.equal(back, output.out) and evidence.explained_by(expected, "out", replace(output, out=back)):
            return Diagnosis("strides", f"out is stored as {name}")
    return None


def other_rows(evidence: Evidence) -> Diagnosis | None:
    """Rows of the output that hold another row's result."""
    out, expected = evidence.out, evidence.model.reference()
    if out is None or expected.out is None or out.shape[2] < 2 or evidence.out_is_right:
        return None
    for step, which in ((1, "before"), (-1, "after")):
        rolled = {name: tensor.roll(step, dims=2) for name, tensor in expected.tensors().items()}
        closer = (out - rolled["out"]).abs().sum(dim=3) < 0.1 * (out - expected.out).abs().sum(dim=3)
        if not bool(closer.any()):
            continue
        mixed = {
            name: torch.where(closer.view(*closer.shape, *[1] * (tensor.dim() - 3)), rolled[name], tensor)
            for name, tensor in expected.tensors().items()
        }
        if evidence.explained_by(Reference.of_tensors("hypothesis", mixed), "out"):
            whole = torch.zeros((*closer.shape[:2], evidence.problem.query_length), dtype=torch.bool)
            whole[:, :, evidence.rows] = closer
            return Diagnosis("null", f"{_rows(whole)} of out hold the result of the row {which}")
    return None


def beside_inputs(evidence: Evidence) -> Diagnosis | None:
    """Right where the memory beside the inputs holds zeros instead of NaN."""
    if evidence.is_finite or not evidence.right(evidence.run(evidence.problem, evidence.inputs, around=0.0)):
        return None
    return Diagnosis(
        "out of bounds", "reads memory beside its inputs: right where that holds 0, wrong where it holds NaN"
    )


def unwritten(evidence: Evidence) -> Diagnosis | None:
    """Rows that still hold what the memory held before."""
    if evidence.is_finite:
        return None
    result = evidence.run(evidence.problem, evidence.inputs, unwritten=UNWRITTEN)
    if not isinstance(result, Output):
        return None
    second = evidence.second
    if not isinstance(second, Output):
        return None
    # What the memory held before need not have been NaN everywhere.
    kept = (result.out == UNWRITTEN) & (second.out != UNWRITTEN)
    if evidence.problem.wants_out and bool(kept.any()):
        rows = kept.all(dim=3)
        if bool(rows.any()):
            return Diagnosis("unwritten rows", f"{_rows(rows)} of out are never written")
        if bool(kept.all(dim=(0, 1, 2)).any()):
            return Diagnosis("head dim", f"{named('column', kept.all(dim=(0, 1, 2)))} of out are never written")
        return Diagnosis("unwritten rows", f"{int(kept.sum())} of {kept.numel()} elements of out are never written")
    if result.lse is None or second.lse is None:
        return None
    rows = (result.lse == UNWRITTEN) & (second.lse != UNWRITTEN)
    if bool(rows.any()):
        return Diagnosis("lse unwritten", f"{_rows(rows)} of lse are never written")
    return None


def zero_rows(evidence: Evidence) -> Diagnosis | None:
    """Rows of zeros among rows that are right; their LSE is right as well, or not asked for."""
    if evidence.out is None or isinstance(evidence.problem.mask, BlockSparse):
        return None
    zero = (evidence.out == 0).all(dim=3) & evidence.model.out.any(dim=3)
    if not bool(zero.any()) or bool(zero.all()):
        return None
    expected = evidence.model.reference()
    patched = replace(expected, out=evidence.model.out.masked_fill(zero.unsqueeze(3), 0.0))
    if not evidence.explained_by(patched):
        return None
    whole = torch.zeros((*zero.shape[:2], evidence.problem.query_length), dtype=torch.bool)
    whole[:, :, evidence.rows] = zero
    return Diagnosis("unwritten rows", f"{_rows(whole)} of out are 0, the others right")


def _rows(marked: Tensor) -> str:
    return f"{heads(marked.any(dim=2))}{named('row', marked.any(dim=(0, 1)))}"
