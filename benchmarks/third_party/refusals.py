"""What adapters of other people's kernels refuse: a library that is missing, and masks that lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from pytest_attn.problem.problem import Problem

Refusals = Mapping[str, Callable[[Problem], bool]]


def absent(*libraries: str) -> Refusals:
    """Every problem, with a sentence, where one of these libraries cannot be imported; else none."""
    missing = [name for name in libraries if find_spec(name) is None]
    if not missing:
        return {}
    return {f"{missing[0]} is not installed: docs/third-party.md says what to install": lambda problem: True}


def _unequal(problem: Problem) -> bool:
    return any(each.query != each.key for each in problem.sequences)


TOP_LEFT_CAUSAL: Refusals = {
    "causal with other lengths, which lies top-left": lambda problem: (
        problem.causal == "bottom-right" and _unequal(problem)
    )
}

TOP_LEFT_WINDOWS: Refusals = {
    "windows with other lengths, which lie top-left": lambda problem: (
        problem.variant("window_size") is not None and _unequal(problem)
    )
}

WIDE_BIAS: Refusals = {
    "a bias of float32 beside half types": lambda problem: getattr(problem.variant("attn_bias"), "float32", False)
}

CAUSAL_BIAS: Refusals = {
    "causal with a bias": lambda problem: problem.causal is not None and problem.variant("attn_bias") is not None
}
