"""A class with `prepare(problem, inputs)` as a kernel: the form that every other one is brought into."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

PreparedRun = Callable[[], Any]
"""The timed part of a kernel: returns an `Output`, out alone, or (out, lse); where gradients are asked for an `Output`
with `grads`."""


class Prepared(Protocol):
    """A kernel with untimed set-up: layout conversion, compilation, workspace."""

    def prepare(self, problem: Problem, inputs: Inputs) -> PreparedRun:
        """Get ready for a problem; the returned function computes it, as often as it is called, and may return the same
        buffers every time. A kernel that claims `out_variant` is given the `Output` to fill as a third argument."""


def is_prepared(implementation: Any) -> bool:
    """Whether an author handed over a class with `prepare`, or an object of one."""
    return hasattr(implementation, "prepare")


def prepared(implementation: Any) -> Prepared:
    """The object that prepares, one of the class where that is what the author handed over."""
    return cast(Prepared, implementation() if inspect.isclass(implementation) else implementation)
