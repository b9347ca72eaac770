"""How far the sweeps reach within what a kernel claims: pairs and triples of the values that decide its path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.turns import Misses
from pytest_attn.problem.variants import WindowSize
from pytest_attn.selfcheck.reach.allowed import allowed_cases

SWEEPS = ("smoke", "boundary", "core", "decode", "backward")
WALKED = 4000
"""Cases of the walk that shows which pairs and triples a claim allows."""

FIXED = ("core_models", "core_together")
"""Groups whose values are those of models, or few."""

Value = tuple[str, str]
"""An axis and a value of it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What the cells for one claim have of all that it allows."""

    cells: Mapping[str, int]
    """Claimed cells by sweep."""

    pairs: float
    triples: float
    """Shares of the pairs and triples that a walk over claimed cases met."""

    missing: tuple[tuple[Value, ...], ...]
    """The pairs among them that no cell has."""

    shares: Mapping[str, Mapping[str, int]]
    """Crossed cells by value of each axis."""


def values_of(case: Case) -> dict[str, str]:
    """The values of a case on the axes by which kernels take their path."""
    queries, keys = case.query_length, case.key_length
    way = "1 query" if queries == 1 else "Sq=Skv" if queries == keys else "Sq<Skv" if queries < keys else "Sq>Skv"
    residue = {0: "0", 1: "1", 63: "63"}.get(keys % 64, "other")
    mask = [case.causal or "", "blocks" if case.sparsity is not None else ""]
    mask += ["window" for each in case.variants if isinstance(each, WindowSize)]
    return {
        "dtype": case.dtype,
        "head_dim": str(case.head_dim),
        "mask": " ".join(filter(None, mask)) or "dense",
        "lengths": f"{way}, Skv mod 64: {residue}",
        "group": str(case.query_heads // case.key_heads),
        "recipe": case.recipe,
        "layout": case.layout,
        "ask": case.ask,
        "compared": case.oracle,
    }


def tuples_of(cases: Iterable[Case], strength: int) -> set[tuple[Value, ...]]:
    """Every few values that some case has."""
    return {some for case in cases for some in combinations(values_of(case).items(), strength)}


def reach_of(misses: Misses) -> Reach:
    """The reach of the sweeps that judge results, for a kernel that misses these cases."""
    claimed = {name: find_sweep(name, misses).claimed(misses) for name in SWEEPS}
    every = [case for groups in claimed.values() for cases in groups.values() for case in cases]
    walked = allowed_cases(misses, WALKED)
    shares = {}
    for strength in (2, 3):
        wanted = tuples_of(walked, strength)
        shares[strength] = wanted - (have := tuples_of(every, strength)), len(wanted & have) / max(1, len(wanted))
    drawn = {**claimed["boundary"], **claimed["core"]}
    crossed = [values_of(case) for group, cases in drawn.items() if group not in FIXED for case in cases]
    return Reach(
        cells={name: sum(map(len, groups.values())) for name, groups in claimed.items()},
        pairs=shares[2][1],
        triples=shares[3][1],
        missing=tuple(sorted(shares[2][0])),
        shares={axis: Counter(values[axis] for values in crossed) for axis in (crossed[0] if crossed else ())},
    )
