"""Plain data is strict JSON, and comes back as it was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn.plain import encoded, from_plain


@dataclass(frozen=True)
class Inner:
    pair: tuple[int, int]


@dataclass(frozen=True)
class Outer:
    name: str
    share: float = 0.0
    word: Literal["a", "b"] = "a"
    inner: Inner | None = None
    rest: tuple[Inner, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    anything: Any = None
    flag: bool = False


WHOLE = Outer("n", 1.5, "b", Inner((1, 2)), (Inner((3, 4)),), {"x": math.inf}, [1, {"y": None}], True)


@given(st.floats(allow_nan=False))
def test_every_number_comes_back(value: float) -> None:
    plain = json.loads(json.dumps(encoded(Outer("n", value)), allow_nan=False))
    assert from_plain(Outer, plain).share == value


def test_nan_comes_back_as_nan() -> None:
    assert math.isnan(from_plain(Outer, encoded(Outer("n", math.nan))).share)


def test_nested_values_come_back() -> None:
    assert from_plain(Outer, json.loads(json.dumps(encoded(WHOLE)))) == WHOLE


def test_names_that_are_no_fields_are_left_out() -> None:
    assert from_plain(Outer, {"name": "n", "later": 3}) == Outer("n")


def test_what_is_no_plain_data_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="object is no plain data"):
        encoded({"a": [object()]})


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        ([], "Outer: [] is not a mapping of its fields"),
        ({}, "Outer: without name, which it needs"),
        ({"name": 3}, "Outer: name is 3; allowed: a text"),
        ({"name": "n", "share": "much"}, "Outer: share is 'much'; allowed: a number"),
        ({"name": "n", "share": True}, "Outer: share is True; allowed: a number"),
        ({"name": "n", "word": "c"}, "Outer: word is 'c'; allowed: 'a', 'b'"),
        ({"name": "n", "inner": {"pair": [1]}}, "Inner: pair is [1]; allowed: "),
        ({"name": "n", "rest": 3}, "Outer: rest is 3; allowed: "),
        ({"name": "n", "figures": {"x": None}}, "Outer: figures['x'] is None; allowed: a number"),
        ({"name": "n", "figures": []}, "Outer: figures is []; allowed: "),
        ({"name": "n", "flag": 1}, "Outer: flag is 1; allowed: true or false"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(plain: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        from_plain(Outer, plain)
    assert str(refused.value).startswith(sentence)
