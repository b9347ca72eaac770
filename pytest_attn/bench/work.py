"""The work of a case: floating-point operations and bytes, each with the name of the formula that counted them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_attn.problem.case import Case
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.pairs import flops
from pytest_attn.text import closest

BYTE_FORMULA = "query-key-value-out-once"
FLOP_FORMULA = "pairs-2d-2dv"


def _rows(case: Case) -> int:
    return case.batch * case.query_heads * case.query_length


FLOP_FORMULAS: Mapping[str, Callable[[Case], int]] = {
    FLOP_FORMULA: flops,
    "pto": lambda case: _rows(case) * case.key_length * (4 * case.head_dim + 6) - 2 * _rows(case),
    "flashtile": lambda case: _rows(case) * case.key_length * (4 * case.head_dim + 5),
}
"""By name. `pairs-2d-2dv`: 2 (D + Dv) per pair that may attend, softmax not counted. `pto`: B Sq Sk (4 D + 6) - 2 B Sq
with heads counted as batch. `flashtile`: (4 D + 5) B H Sq Sk. The last two count masked pairs, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a forward pass computes and moves at least."""

    flops: int
    flop_formula: str
    bytes: int
    byte_formula: str = BYTE_FORMULA

    @staticmethod
    def of(case: Case, flop_formula: str = FLOP_FORMULA) -> Work:
        """The work of a case; bytes are those of query, key, value and output, each once, with as many heads as each
        has. Raises ValueError naming the formulas where `flop_formula` is none."""
        if flop_formula not in FLOP_FORMULAS:
            raise ValueError(f"flop_formula is {flop_formula!r}; allowed: {closest(flop_formula, FLOP_FORMULAS)}")
        queries = case.query_heads * case.query_length
        keys = case.key_heads * case.key_length
        items = case.batch * (queries + keys) * (case.head_dim + case.value_dim)
        return Work(
            flops=FLOP_FORMULAS[flop_formula](case),
            flop_formula=flop_formula,
            bytes=items * data_types()[case.dtype].item_bytes,
        )
