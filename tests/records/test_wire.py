"""What goes over the wire is one line of strict JSON."""

from __future__ import annotations

import json

from pytest_attn.records.wire import line_of


def test_a_line_is_one_line() -> None:
    assert line_of({"why": "a\nb\r"}).splitlines() == ['{"why": "a\\nb\\r"}']


def test_numbers_that_are_not_finite_are_texts() -> None:
    assert json.loads(line_of({"a": float("nan"), "b": (float("-inf"),)})) == {"a": "NaN", "b": ["-Infinity"]}
