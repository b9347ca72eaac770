"""Oracles by name: the reference that a case is compared with."""

from __future__ import annotations

from pytest_attn.oracles.analytic import zero_query
from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.exact import exact
from pytest_attn.oracles.fias.oracle import fias, fias_takes
from pytest_attn.oracles.loop import loop
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import OracleName


def reference_for(oracle: OracleName, problem: Problem, inputs: Inputs, cache: ReferenceCache) -> Reference:
    """The reference that a case names.

    "fias" is the operator's model where it takes the problem and its mask of all pairs stays small; beyond that the
    exact oracle, which the tests hold equal to it. `Reference.oracle` says which it was.
    """
    if oracle == "analytic":
        return zero_query(problem, inputs)
    if oracle == "loop":
        return loop(problem, inputs)
    if oracle == "fias" and fias_takes(problem):
        content = f"fias|{inputs.key_of_content}|{problem.scale!r}|{problem.mask.key}"
        return Reference.of_tensors("fias", cache.get(content, lambda: fias(problem, inputs).tensors()))
    return exact(problem, inputs, cache)
