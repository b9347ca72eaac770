"""The language that selects cases along the axes of a sweep."""

from __future__ import annotations

import re

import pytest

from pytest_attn.problem.axes import AXES, AxisFilter
from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import FrameWidths

CASE = Case(
    1024,
    2048,
    head_dim=64,
    value_dim=32,
    batch=2,
    query_heads=6,
    key_heads=3,
    dtype="float16",
    scale=0.25,
    sparsity=0.7,
    block_shape=(128, 512),
    frame=FrameWidths(1, 1, 3, 1),
    recipe="zeros",
    layout="strided",
    ask="lse",
    oracle="loop",
)
PLAIN = Case(64, 64)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("dtype=[bfloat16,float16]", {"bfloat16", "float16"}),
        ("dtype=[bfloat16]", {"bfloat16"}),
        ("dtype=bfloat16", {"bfloat16"}),
        (" dtype = [ bfloat16 , float16 ] ", {"bfloat16", "float16"}),
        ("dtype=[float16,float16]", {"float16"}),
    ],
)
def test_an_axis_takes_one_value_or_several_in_brackets(text: str, values: set[str]) -> None:
    assert AxisFilter.parse(text) == AxisFilter("dtype", frozenset(values))


@pytest.mark.parametrize(
    "text", ["", "dtype", "dtype=", "=float16", "dtype=a,b", "dtype=[a", "dtype=a]", "dtype=[[a]]"]
)
def test_text_that_is_no_axis_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no axis; allowed: name=[value,value]")):
        AxisFilter.parse(text)


@pytest.mark.parametrize("text", ["dtype=[]", "dtype=[float16,]", "dtype=[,float16]", "dtype=[ ]"])
def test_an_empty_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="empty value"):
        AxisFilter.parse(text)


@pytest.mark.parametrize(("name", "near"), [("dtypes", "dtype"), ("sparsty", "sparsity"), ("block", "block_shape")])
def test_an_unknown_axis_names_the_closest_one_first(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"unknown axis '{name}'; allowed: {near}, "):
        AxisFilter.parse(f"{name}=1")


def test_an_unknown_value_names_the_axis_and_the_closest_value_first() -> None:
    axis = AxisFilter.parse("dtype=[float16,bfloat]")
    cases = [PLAIN, CASE]
    with pytest.raises(ValueError, match="axis dtype has no value 'bfloat' in this sweep; allowed: bfloat16, float64"):
        axis.refuse_unknown_values(cases)


def test_values_that_occur_are_not_refused() -> None:
    AxisFilter.parse("dtype=[float16,bfloat16]").refuse_unknown_values([PLAIN, CASE])


def test_a_filter_keeps_the_cases_that_have_one_of_its_values() -> None:
    axis = AxisFilter.parse("s=[32,64]")
    lengths = [32, 48, 64]
    assert [axis.keeps(Case(length, length)) for length in lengths] == [True, False, True]


def test_every_axis_reads_its_own_field_of_a_case() -> None:
    assert {name: read(CASE) for name, read in AXES.items()} == {
        "b": "2",
        "h": "6",
        "kv": "3",
        "s": "1024x2048",
        "d": "64x32",
        "dtype": "float16",
        "scale": "0.25",
        "causal": "none",
        "sparsity": "0.7",
        "block_shape": "128x512",
        "frame": "1x1x3x1",
        "variants": "none",
        "recipe": "zeros",
        "layout": "strided",
        "ask": "lse",
        "oracle": "loop",
    }


def test_what_a_case_does_not_have_reads_none_or_default() -> None:
    names = ("scale", "causal", "sparsity", "block_shape", "frame")
    assert {name: AXES[name](PLAIN) for name in names} == {
        "scale": "default",
        "causal": "none",
        "sparsity": "none",
        "block_shape": "none",
        "frame": "none",
    }


def test_equal_lengths_and_dims_read_as_one_number() -> None:
    assert (AXES["s"](PLAIN), AXES["d"](PLAIN)) == ("64", "128")


def test_the_causal_axis_tells_the_alignments_apart() -> None:
    assert AXES["causal"](Case(8, 8, causal="top-left")) == "top-left"


@pytest.mark.parametrize("name", AXES)
def test_what_an_axis_reads_can_be_typed_as_its_value(name: str) -> None:
    assert all(AxisFilter.parse(f"{name}=[{AXES[name](case)}]").keeps(case) for case in (CASE, PLAIN))
