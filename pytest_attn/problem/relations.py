"""Relations between results of one kernel, and the cases that each exists for. Plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:  # a case refuses relations that do not exist for it
    from pytest_attn.problem.case import Case

Relation = Literal[
    "permutedkeys",
    "shiftedkeys",
    "duplicatedkeys",
    "splitkeys",
    "expandedheads",
    "hiddenkeys",
    "summedvalues",
    "lonehead",
    "lastrow",
]
"""A result of the same kernel on related inputs, from which its result on these follows exactly."""

RELATIONS: dict[str, Relation] = {relation: relation for relation in get_args(Relation)}
"""The relations by their word."""


class Need(NamedTuple):
    """What a relation needs of a case, in words and as a condition."""

    words: str
    holds: Callable[[Case], bool]


def _dense(case: Case) -> bool:
    return case.causal is None and case.sparsity is None and not any(variant.hides(case) for variant in case.variants)


def _hides_keys(case: Case) -> bool:
    if any(variant.hides(case) for variant in case.variants):
        return True
    # A pattern that does not exist is refused as unsatisfiable, by every oracle alike.
    if case.pattern is not None and (case.unsatisfiable is not None or case.pattern.leaves_out):
        return True
    return case.query_length > 1 if case.causal == "bottom-right" else case.causal is not None and case.key_length > 1


NEEDS: dict[Relation, Need] = {
    "permutedkeys": Need("no mask and two keys", lambda case: _dense(case) and case.key_length > 1),
    "duplicatedkeys": Need(
        "no mask, and values whose squares are finite", lambda case: _dense(case) and case.recipe != "hugevalue"
    ),
    "splitkeys": Need(
        "no mask, two keys and the log-sum-exp", lambda case: _dense(case) and case.key_length > 1 and case.ask != "out"
    ),
    "expandedheads": Need("fewer key heads than query heads", lambda case: case.query_heads > case.key_heads),
    "hiddenkeys": Need("a mask that hides keys", _hides_keys),
    "summedvalues": Need(
        "the output, and values whose sums are finite", lambda case: case.ask != "lse" and case.recipe != "hugevalue"
    ),
    "lonehead": Need("two heads or batches", lambda case: case.batch * case.query_heads > 1),
    "lastrow": Need(
        "causal bottom-right, no block mask and two queries",
        lambda case: case.causal == "bottom-right" and case.sparsity is None and case.query_length > 1,
    ),
}
"""What a relation needs; one that is not named exists for every case."""


def relation_exists(relation: Relation, case: Case) -> bool:
    """Whether a relation exists for a case, whatever the case itself names."""
    kept = all(relation in variant.keeps for variant in case.variants)
    return kept and (relation not in NEEDS or NEEDS[relation].holds(case))


def refuse_relation(case: Case) -> None:
    """Raises ValueError where the relation that a case names does not exist for it."""
    relation = RELATIONS.get(case.oracle)
    if relation is None:
        return
    for variant in case.variants:
        if relation not in variant.keeps:
            raise ValueError(f"case: {relation} does not hold for {variant.capability}")
    if relation in NEEDS and not NEEDS[relation].holds(case):
        raise ValueError(f"case: {relation} does not exist here; it needs {NEEDS[relation].words}")
