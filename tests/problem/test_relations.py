"""Which relations exist for which cases."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import pytest

from pytest_attn.problem.case import Case
from pytest_attn.problem.relations import NEEDS, Relation, relation_exists

DENSE = Case(64, 64, query_heads=4, key_heads=2)
CAUSAL = replace(DENSE, causal="bottom-right")
SPARSE = replace(DENSE, block_shape=(16, 16), sparsity=0.5)


@pytest.mark.parametrize(
    ("relation", "case", "needs"),
    [
        ("permutedkeys", CAUSAL, "no mask and two keys"),
        ("permutedkeys", SPARSE, "no mask and two keys"),
        ("permutedkeys", replace(DENSE, key_length=1), "no mask and two keys"),
        ("duplicatedkeys", CAUSAL, "no mask, and values whose squares are finite"),
        ("splitkeys", SPARSE, "no mask, two keys and the log-sum-exp"),
        ("splitkeys", replace(DENSE, ask="out"), "no mask, two keys and the log-sum-exp"),
        ("splitkeys", replace(DENSE, key_length=1), "no mask, two keys and the log-sum-exp"),
        ("expandedheads", replace(DENSE, key_heads=4), "fewer key heads than query heads"),
        ("hiddenkeys", DENSE, "a mask that hides keys"),
        ("hiddenkeys", replace(SPARSE, sparsity=0.0), "a mask that hides keys"),
        ("hiddenkeys", replace(CAUSAL, query_length=1), "a mask that hides keys"),
        ("hiddenkeys", replace(CAUSAL, causal="top-left", key_length=1), "a mask that hides keys"),
        ("summedvalues", replace(DENSE, ask="lse"), "the output, and values whose sums are finite"),
        ("lonehead", Case(64, 64), "two heads or batches"),
        ("lastrow", DENSE, "causal bottom-right, no block mask and two queries"),
        ("lastrow", replace(CAUSAL, causal="top-left"), "causal bottom-right, no block mask and two queries"),
        ("lastrow", replace(CAUSAL, query_length=1), "causal bottom-right, no block mask and two queries"),
    ],
)
def test_a_relation_that_does_not_exist_for_a_case_is_refused_by_name(relation: Any, case: Case, needs: str) -> None:
    sentence = f"case: {relation} does not exist here; it needs {needs}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        replace(case, oracle=relation)
    assert not relation_exists(relation, case)


@pytest.mark.parametrize("relation", get_args(Relation))
def test_every_relation_exists_for_some_case_and_its_id_names_it(relation: Any) -> None:
    case = next(case for case in (DENSE, CAUSAL) if relation_exists(relation, case))
    related = replace(case, oracle=relation)
    assert related.id.endswith(f"-both-{relation}")
    assert Case.parse(related.id) == related


def test_a_pattern_that_cannot_exist_is_unsatisfiable_and_not_refused() -> None:
    assert Case(512, 512, sparsity=0.9, block_shape=(1024, 1024), oracle="hiddenkeys").unsatisfiable


def test_only_relations_have_needs() -> None:
    assert set(NEEDS) <= set(get_args(Relation))
