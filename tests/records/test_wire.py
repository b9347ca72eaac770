"""What goes over the wire is strict JSON, and comes back as it was."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn.records.wire import encoded, line_of, number, numbers


@given(st.floats(allow_nan=False))
def test_every_number_comes_back(value: float) -> None:
    assert number(json.loads(json.dumps(encoded(value), allow_nan=False))) == value


def test_nan_comes_back_as_nan() -> None:
    assert math.isnan(number(encoded(math.nan)))


def test_tuples_and_mappings_become_lists_and_objects() -> None:
    assert encoded({"a": (1, math.inf), "b": {"c": None}}) == {"a": [1, "Infinity"], "b": {"c": None}}


def test_what_is_no_plain_data_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="object is no plain data"):
        encoded({"a": [object()]})


@pytest.mark.parametrize("value", [True, "inf", "1", None, []])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is no number"):
        number(value)


def test_numbers_are_an_object() -> None:
    assert numbers({"a": 1, "b": "-Infinity"}) == {"a": 1, "b": -math.inf}
    with pytest.raises(ValueError, match="is no object of numbers"):
        numbers([1])


def test_a_line_is_one_line() -> None:
    assert line_of({"why": "a\nb\u2028c"}).count("\n") == 1
