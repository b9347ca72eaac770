"""The axes of a sweep and the small language that selects along them: `name=[value,value]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pytest_attn.problem.case import Case
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.vocabulary import WORDS
from pytest_attn.text import closest


def _pair(first: int, second: int) -> str:
    return str(first) if first == second else f"{first}x{second}"


AXES: dict[str, Callable[[Case], str]] = {
    "b": lambda case: str(case.batch),
    "h": lambda case: str(case.query_heads),
    "kv": lambda case: str(case.key_heads),
    "s": lambda case: _pair(case.query_length, case.key_length),
    "d": lambda case: _pair(case.head_dim, case.value_dim),
    "dtype": lambda case: case.dtype,
    "scale": lambda case: "default" if case.scale is None else f"{case.scale:g}",
    "causal": lambda case: case.causal or "none",
    "sparsity": lambda case: "none" if case.sparsity is None else f"{case.sparsity:g}",
    "block_shape": lambda case: "none" if case.block_shape is None else "{}x{}".format(*case.block_shape),
    "frame": lambda case: "none" if case.frame is None else "x".join(map(str, case.frame.as_tuple)),
    "variants": lambda case: "-".join(variant.token for variant in case.variants) or "none",
    "recipe": lambda case: case.recipe,
    "layout": lambda case: case.layout,
    "ask": lambda case: case.ask,
    "oracle": lambda case: case.oracle,
}
"""What each axis reads of a case, as the text that selects it."""

_GRAMMAR = re.compile(r"\s*(?P<name>\w+)\s*=\s*(?:\[(?P<many>[^\[\]]*)\]|(?P<one>[^\[\],]+))\s*")


@dataclass(frozen=True, slots=True)
class AxisFilter:
    """Keeps the cases whose value on one axis is among those named."""

    axis: str
    values: frozenset[str]

    @staticmethod
    def parse(text: str) -> AxisFilter:
        """The filter of `dtype=[bfloat16,float16]` or `s=1024`. Raises ValueError naming the axis and what is
        allowed."""
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no axis; allowed: name=[value,value], such as dtype=[bfloat16,float16]")
        name = match["name"]
        if name not in AXES:
            raise ValueError(f"unknown axis {name!r}; allowed: {closest(name, AXES)}")
        values = frozenset(value.strip() for value in (match["many"] or match["one"] or "").split(","))
        if "" in values:
            raise ValueError(f"{text!r} has an empty value; allowed: name=[value,value]")
        return AxisFilter(name, values)

    def keeps(self, case: Case) -> bool:
        """Whether the case has one of the values."""
        return AXES[self.axis](case) in self.values

    def refuse_unknown_values(self, cases: Iterable[Case]) -> None:
        """Raises ValueError where a value occurs in none of the cases, naming the closest ones that do. Asks for no
        further case than it needs to find all values."""
        words = _words(self.axis)
        left, known = {*self.values}, set[str]()
        for case in cases if not words or left <= words else ():
            known.add(value := AXES[self.axis](case))
            left.discard(value)
            if not left:
                return
        unknown = min(left - words or left)
        raise ValueError(
            f"axis {self.axis} has no value {unknown!r} in this sweep; allowed: {closest(unknown, known or words)}"
        )


def _words(axis: str) -> frozenset[str]:
    """All values of an axis that has a closed list of them, empty for others."""
    words = data_types() if axis == "dtype" else WORDS.get(axis, ())
    return frozenset(word or "none" for word in words)
