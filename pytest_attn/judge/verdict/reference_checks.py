"""Whether a reference can be the truth: what no right one shows, whatever the kernel returned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.judge.verdict.finding import Finding, Place
from pytest_attn.judge.verdict.worst import first_place
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import row_logits, sinks
from pytest_attn.problem.problem import Problem

ROWS_TRIED = 8
"""Rows of a head, evenly spaced, that are computed anew where they are all zero."""

SLACK = 1.05
"""Moments are known to about 1 %; beyond their bounds by more than this they would make the judge blind."""


def reference_faults(problem: Problem, inputs: Inputs, output: Output, reference: Reference) -> list[Finding]:
    """What is wrong with a reference, as findings "reference"; empty where it may be right.

    Its shapes and device, memory shared with the kernel, numbers that no attention gives, rows whose LSE says other
    than the mask whether they have keys, rows that are all zero without cause.
    """
    found = [*_form(problem, reference), *_shared_memory(problem, output, reference)]
    if not found:
        # A row without keys has its sink all the same.
        empty = problem.mask.empty_rows(problem.lengths).expand(problem.lse_shape) & (sinks(problem, inputs) is None)
        largest = (
            max(abs(float(end)) for end in inputs.value.to(problem.sum_dtype).aminmax()) if problem.wants_out else None
        )
        found = [*_values(reference, empty, largest), *_zeros(problem, inputs, reference, empty, largest)]
    return found


def doubt(tensor: str, words: str, place: Place | None = None, rest: str = "") -> Finding:
    """The finding that a reference cannot be the truth; the words name the tensor."""
    return Finding(
        what="reference", part="reference", tensor=tensor, names_tensor=True, words=words, place=place, rest=rest
    )


def _form(problem: Problem, reference: Reference) -> Iterator[Finding]:
    if problem.wants_out and reference.out is None:
        yield doubt("out", "no out")
    tensors = reference.tensors()
    rows = {"lse": problem.lse_shape, "weight_square": problem.lse_shape, "peak": problem.lse_shape}
    for name, shape in {**rows, "out": problem.out_shape, "value_square": problem.out_shape}.items():
        tensor = tensors.get(name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            yield doubt(name, f"{name} has shape {list(tensor.shape)}, expected {list(shape)}")
        if tensor.device.type != "cpu":
            yield doubt(name, f"{name} is on {tensor.device}, expected cpu")


def _shared_memory(problem: Problem, output: Output, reference: Reference) -> Iterator[Finding]:
    asked = {"out": output.out if problem.wants_out else None, "lse": output.lse if problem.wants_lse else None}
    for ours, returned in asked.items():
        for theirs, true in reference.tensors().items():
            if returned is not None and overlap(returned, true):
                yield doubt(theirs, f"{theirs} shares memory with the kernel's {ours}")


def overlap(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors share memory."""
    (start, stop), (other_start, other_stop) = _extent(first), _extent(second)
    return first.device == second.device and start < other_stop and other_start < stop


def _extent(tensor: Tensor) -> tuple[int, int]:
    start = tensor.untyped_storage().data_ptr()
    return start, start + tensor.untyped_storage().nbytes()


def _values(reference: Reference, empty: Tensor, largest: float | None) -> Iterator[Finding]:
    """`largest` of the values, None where the output is not judged."""
    lse = reference.lse
    yield from _lse_rows("is NaN or +inf", torch.isnan(lse) | torch.isposinf(lse))
    yield from _lse_rows("is -inf with keys to attend to", torch.isneginf(lse) & ~empty)
    yield from _lse_rows("is not -inf without keys to attend to", ~torch.isneginf(lse) & empty)
    tensors = reference.tensors()
    # Weights are 1 at most and add up to 1: no average of values exceeds the largest, no sum of squares its square.
    bounds = {"weight_square": (0.0, 1.0), "peak": (0.0, 1.0)}
    if largest is not None:
        bounds |= {"out": (-largest, largest), "value_square": (0.0, largest**2)}
    for name, (low, high) in bounds.items():
        if name not in tensors:
            continue
        least, most = (float(end) for end in tensors[name].aminmax())
        # Also false for NaN, which aminmax passes on.
        if not (low * SLACK <= least and most <= high * SLACK):
            words = f"{name} is between {least:.3g} and {most:.3g}, where {low:.3g} to {high:.3g} is possible"
            figure, limit = (most, high) if least >= low * SLACK else (least, low)
            yield replace(doubt(name, words), figure=figure, limit=limit)
        elif bool(empty.any()) and bool(tensors[name][empty].any()):
            yield doubt(name, f"{name} is not 0 in all rows without keys to attend to")


def _lse_rows(words: str, wrong: Tensor) -> Iterator[Finding]:
    place = first_place(wrong)
    if place is not None:
        yield doubt("lse", f"lse {words} in {place.share}", place)


def _zeros(
    problem: Problem, inputs: Inputs, reference: Reference, empty: Tensor, largest: float | None
) -> Iterator[Finding]:
    """A row of zeros is right for values that cancel, or one key of logit 0; so it is computed anew before it is
    doubted."""
    rows = sorted({index * (problem.query_length - 1) // (ROWS_TRIED - 1) for index in range(ROWS_TRIED)})
    suspects = {"lse": (reference.lse.unsqueeze(3), 1.0)}
    if reference.out is not None and largest:
        suspects["out"] = (reference.out, largest)
    for name, (tensor, unit) in suspects.items():
        zero = (tensor[:, :, rows] == 0).all(dim=3) & ~empty[:, :, rows]
        for batch, head, index in zero.nonzero().tolist():
            row = rows[index]
            truth = float(_anew(problem, inputs, batch, head, row)[name].abs().max())
            # Far above what float64 makes of an exact zero, far below what a wrong one hides.
            if truth > 1e-6 * unit:
                place = Place(which="example", batch=batch, head=head, rows=(row, row), batches=problem.batch)
                yield doubt(name, f"{name} is 0", place, f", where it should reach {truth:.3g}")
                break


def _anew(problem: Problem, inputs: Inputs, batch: int, head: int, row: int) -> dict[str, Tensor]:
    """{"out" `[Dv]`, "lse" `[]`} of one row, float64, straight from the formula."""
    logits = row_logits(problem, inputs, batch, head, row)
    sink = sinks(problem, inputs)
    scores = logits if sink is None else torch.cat([logits, sink[head : head + 1].double()])
    value = inputs.value[batch, head // problem.group].cpu().double()
    return {"out": scores.softmax(dim=0)[: len(logits)] @ value, "lse": scores.logsumexp(dim=0)}
