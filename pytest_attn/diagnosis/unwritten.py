"""Memory that a kernel allocates, never writes, and returns or reads: whatever the memory holds reaches the result.

What such memory holds is chance: numbers, 0, NaN, or the right result of an earlier call. So these hypotheses run the
kernel in memory that holds what they know, and do not ask what the verdict or an ordinary run found there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from pytest_attn.checks.bits import PARTIAL
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.memory_fill import UNWRITTEN
from pytest_attn.diagnosis.places import named, rows_of_heads
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.problem import Problem


class _Result(NamedTuple):
    """A tensor of a result, `[..., B, H, S, D]`, by its name; an LSE has D 1."""

    name: str
    tensor: Tensor


def unwritten(evidence: Evidence) -> Diagnosis | None:
    """Rows that still hold what the memory held before."""
    problem, poisoned = evidence.problem, evidence.poisoned
    if not isinstance(poisoned, Output) or not _has_nan(problem, poisoned):
        return None
    filled = evidence.run(problem, evidence.inputs, unwritten=UNWRITTEN, poisoned=True)
    if not isinstance(filled, Output):
        return None
    for (name, before), (_, after) in zip(_results(problem, poisoned), _results(problem, filled), strict=True):
        kept = before.isnan() & (after == UNWRITTEN)
        # A number that follows what the memory held was computed with it: that memory is read, not returned.
        if bool(kept.any()) and not bool((before.isnan() & ~kept & after.isfinite()).any()):
            return _never_written(name, kept)
    return None


def not_zeroed(evidence: Evidence) -> Diagnosis | None:
    """Right where memory that the kernel allocates and does not write holds zeros."""
    problem, poisoned = evidence.problem, evidence.poisoned
    if not isinstance(poisoned, Output) or not _has_nan(problem, poisoned):
        return None
    if not evidence.right(evidence.run(problem, evidence.inputs, unwritten=0.0, poisoned=True)):
        return None
    what = "gradients are" if problem.wants_grad else "the result is"
    return Diagnosis("unwritten rows", f"{what} added to memory that nobody has set to 0")


def memory_read(evidence: Evidence) -> Diagnosis | None:
    """Rows that are NaN where memory that the kernel allocates holds NaN, and numbers elsewhere.

    What a custom operator allocates can be poisoned, and not filled with a known number.
    """
    problem, poisoned, ordinary = evidence.problem, evidence.poisoned, evidence.second
    if not isinstance(poisoned, Output) or not isinstance(ordinary, Output):
        return None
    for (name, found), (_, before) in zip(_results(problem, poisoned), _results(problem, ordinary), strict=True):
        # Where the verdict is one on poisoned memory, the ordinary run was right there.
        moved = found.isnan() if evidence.in_poisoned_memory else found.isnan() & ~before.isnan()
        if bool(moved.any()):
            rows = rows_of_heads(_of_any_split(moved).any(dim=3))
            return Diagnosis(
                "unwritten rows", f"{rows} of {name} depend on memory that the kernel allocates and does not write"
            )
    return None


def _never_written(name: str, kept: Tensor) -> Diagnosis:
    """What to say of the elements of a result that were never written, bool `[..., B, H, S, D]`."""
    rows = _of_any_split(kept.all(dim=-1, keepdim=True)).squeeze(3)
    if bool(rows.any()):
        return Diagnosis(
            "lse unwritten" if name == "lse" else "unwritten rows", f"{rows_of_heads(rows)} of {name} are never written"
        )
    columns = kept.flatten(0, -2).all(dim=0)
    if bool(columns.any()):
        return Diagnosis("head dim", f"{named('column', columns)} of {name} are never written")
    return Diagnosis("unwritten rows", f"{int(kept.sum())} of {kept.numel()} elements of {name} are never written")


def _of_any_split(marked: Tensor) -> Tensor:
    """Marks `[B, H, S, D]` of what is marked in a split, where results are partial ones."""
    return marked.any(dim=0) if marked.dim() == PARTIAL else marked


def _has_nan(problem: Problem, output: Output) -> bool:
    return any(bool(result.tensor.isnan().any()) for result in _results(problem, output))


def _results(problem: Problem, output: Output) -> Iterator[_Result]:
    """The tensors that a problem asks for."""
    if problem.wants_out:
        yield _Result("out", output.out)
    if problem.wants_lse and output.lse is not None:
        yield _Result("lse", output.lse.unsqueeze(-1))
    for name, tensor in output.grads._asdict().items() if problem.wants_grad and output.grads else ():
        yield _Result(name, tensor)
