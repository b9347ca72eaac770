"""A case and its id."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import BLOCK_SHAPES, FrameWidths
from pytest_attn.problem.pairs import flops, pairs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.relations import Relation, relation_exists
from pytest_attn.problem.sweep import find_sweep, sweep_names
from pytest_attn.problem.vocabulary import EXAMPLE_ID, GRADIENT_ORACLES, ZERO_QUERY, Ask, Layout, OracleName, Recipe

ALIGNMENTS = ["bottom-right", "top-left"]
FRAMED_ID = "b1-h2-s1024-d128-bfloat16-sp50pct-bs128x512-framed-lse-fias"
FRAMED = Case(
    1024,
    1024,
    query_heads=2,
    sparsity=0.5,
    block_shape=(128, 512),
    frame=FrameWidths(1, 1, 3, 1),
    ask="lse",
    oracle="fias",
)


@st.composite
def frames(draw: st.DrawFn, shape: tuple[int, int]) -> FrameWidths | None:
    """No frame, the small one where it is published, or any."""
    custom = st.builds(FrameWidths, *[st.integers(0, 4)] * 4)
    small = [FrameWidths.small(shape)] if shape in BLOCK_SHAPES else []
    return draw(st.one_of(st.none(), custom, st.sampled_from([FrameWidths(), *small])))


@st.composite
def cases(draw: st.DrawFn, longest: int = 200_000) -> Case:
    """Any case: grouped heads, unequal lengths and dims, scales, causal or sparse, frames, recipes, asks, oracles."""
    length, dim = st.integers(1, longest), st.integers(1, 300)
    key_heads = draw(st.integers(1, 4))
    recipe = draw(st.sampled_from(get_args(Recipe)))
    fields: dict[str, Any] = {
        "query_length": draw(length),
        "key_length": draw(length),
        "head_dim": draw(dim),
        "value_dim": draw(st.one_of(st.just(0), dim)),
        "batch": draw(st.integers(1, 3)),
        "query_heads": key_heads * draw(st.integers(1, 4)),
        "key_heads": key_heads,
        "dtype": draw(st.sampled_from(["bfloat16", "float16", "float32"])),
        "scale": draw(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))),
        "recipe": recipe,
        "layout": draw(st.sampled_from(get_args(Layout))),
        "ask": draw(st.sampled_from(get_args(Ask))),
        "oracle": draw(st.sampled_from(get_args(OracleName))),
    }
    if draw(st.booleans()):
        sparsity = draw(st.one_of(st.integers(0, 100).map(lambda percent: percent / 100), st.floats(0, 1)))
        shape = draw(st.one_of(st.sampled_from(BLOCK_SHAPES), st.tuples(st.integers(1, 99), st.integers(1, 99))))
        fields |= {"sparsity": sparsity, "block_shape": shape, "frame": draw(frames(shape))}
    else:
        causal, shape = st.sampled_from([None, *ALIGNMENTS]), st.sampled_from([None, *BLOCK_SHAPES])
        fields |= {"causal": draw(causal), "block_shape": draw(shape)}
    oracle = fields.pop("oracle")
    assume(oracle != "analytic" or recipe in ZERO_QUERY)
    case = Case(**fields)
    assume(oracle not in get_args(Relation) or relation_exists(oracle, case))
    assume(case.ask != "grad" or oracle in GRADIENT_ORACLES)
    return replace(case, oracle=oracle)


@given(cases())
@settings(max_examples=200, deadline=None)
def test_an_id_parses_back_to_its_case(case: Case) -> None:
    assert Case.parse(case.id) == case


@given(cases())
@settings(max_examples=100, deadline=None)
def test_an_id_is_lower_case_letters_digits_and_dashes(case: Case) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", case.id)


@given(cases(), cases())
@settings(max_examples=50, deadline=None)
def test_different_cases_have_different_ids(one: Case, other: Case) -> None:
    assert (one.id == other.id) == (one == other)


@pytest.mark.parametrize("name", sweep_names())
def test_every_case_of_a_sweep_parses_back_from_its_id(name: str) -> None:
    assert [case for case in find_sweep(name) if Case.parse(case.id) != case] == []


def test_the_id_of_a_framed_case_is_spelled_big_to_small() -> None:
    assert FRAMED.id == FRAMED_ID


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (Case(64, 64), "b1-h1-s64-d128-bfloat16-both-exact"),
        (Case(1, 300, head_dim=192, value_dim=128), "b1-h1-s1x300-d192x128-bfloat16-both-exact"),
        (Case(9, 9, batch=2, query_heads=6, key_heads=2), "b2-h6-kv2-s9-d128-bfloat16-both-exact"),
        (Case(9, 9, causal="bottom-right"), "b1-h1-s9-d128-bfloat16-causal-both-exact"),
        (Case(9, 9, causal="top-left"), "b1-h1-s9-d128-bfloat16-causal-topleft-both-exact"),
        (Case(9, 9, scale=1.0), "b1-h1-s9-d128-bfloat16-scale1-both-exact"),
        (Case(9, 9, scale=-0.25), "b1-h1-s9-d128-bfloat16-scalem0p25-both-exact"),
        (Case(9, 9, scale=1e-5), "b1-h1-s9-d128-bfloat16-scale1em05-both-exact"),
        (Case(9, 9, block_shape=(128, 256)), "b1-h1-s9-d128-bfloat16-bs128x256-both-exact"),
        (Case(9, 9, block_shape=(3, 3), sparsity=0.57), "b1-h1-s9-d128-bfloat16-sp57pct-bs3x3-both-exact"),
        (Case(9, 9, block_shape=(3, 3), sparsity=0.125), "b1-h1-s9-d128-bfloat16-sp12p5pct-bs3x3-both-exact"),
        (
            Case(9, 9, block_shape=(3, 3), sparsity=0.0, frame=FrameWidths(1, 0, 2, 3)),
            "b1-h1-s9-d128-bfloat16-sp0pct-bs3x3-frame1x0x2x3-both-exact",
        ),
        (Case(9, 9, dtype="float16", recipe="zeros", ask="out"), "b1-h1-s9-d128-float16-zeros-out-exact"),
        (Case(9, 9, recipe="onehotgrad", ask="grad"), "b1-h1-s9-d128-bfloat16-onehotgrad-grad-exact"),
    ],
)
def test_the_id_says_only_what_is_not_usual(case: Case, name: str) -> None:
    assert case.id == name


def test_the_example_of_a_refusal_is_an_id() -> None:
    assert Case.parse(EXAMPLE_ID).id == EXAMPLE_ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        FRAMED_ID.upper(),
        FRAMED_ID + "\n",
        FRAMED_ID + "-more",
        FRAMED_ID.replace("bfloat16", "int8"),
        FRAMED_ID.replace("-lse", ""),
        FRAMED_ID.replace("-bs128x512", ""),
        FRAMED_ID.replace("-sp50pct", ""),
        FRAMED_ID.replace("sp50pct", "sp050pct"),
        FRAMED_ID.replace("sp50pct", "sp50p0pct"),
        FRAMED_ID.replace("sp50pct", "sp150pct"),
        FRAMED_ID.replace("bs128x512", "bs64x64"),
        FRAMED_ID.replace("framed", "frame1x1x3x1"),
        FRAMED_ID.replace("sp50pct-bs128x512-framed", "bs0x128"),
        FRAMED_ID.replace("s1024", "s1024x1024"),
        FRAMED_ID.replace("s1024", "s0"),
        FRAMED_ID.replace("h2", "h2-kv2"),
        FRAMED_ID.replace("h2", "h3-kv2"),
        FRAMED_ID.replace("h2", "h02"),
        FRAMED_ID.replace("d128", "d128-causal"),
        FRAMED_ID.replace("-framed", "-framed-windowed"),
        FRAMED_ID.replace("-framed", "-win1xinf-framed"),
        FRAMED_ID.replace("-framed", "-framed-win01xinf"),
        FRAMED_ID.replace("-framed", "-framed-win1x1-win1x1"),
        FRAMED_ID.replace("b1-", "b1\N{ARABIC-INDIC DIGIT TWO}-"),  # a digit to int()
        FRAMED_ID.replace("-framed", "-framed-normal"),
    ],
)
def test_a_bad_id_is_refused_in_one_sentence_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))) as refused:
        Case.parse(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"query_length": 0}, "query_length"),
        ({"key_length": -1}, "key_length"),
        ({"head_dim": 0}, "head_dim"),
        ({"value_dim": -1}, "value_dim"),
        ({"batch": 0}, "batch"),
        ({"query_heads": 0}, "query_heads"),
        ({"query_heads": 3, "key_heads": 2}, "query_heads"),
        ({"query_heads": 2, "key_heads": 4}, "key_heads"),
        ({"sparsity": 0.5}, "sparsity"),
        ({"oracle": "analytic", "recipe": "normal"}, "analytic oracle"),
        ({"block_shape": (4, 4), "frame": FrameWidths()}, "frame"),
    ],
)
def test_contradictory_fields_are_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^case: .*\b{name}\b"):
        Case(**({"query_length": 64, "key_length": 64} | fields))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dtype", "int8"),
        ("causal", "diagonal"),
        ("recipe", "twos"),
        ("ask", "gradient"),
        ("oracle", "delphi"),
        ("scale", math.nan),
        ("scale", math.inf),
        ("block_shape", (0, 128)),
    ],
)
def test_a_value_that_no_id_could_name_is_refused_by_its_field(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Case(64, 64, **{name: value})


@pytest.mark.parametrize("oracle", ["fias", "loop", "sequence", "lonehead"])
def test_gradients_are_refused_where_there_is_nothing_to_compare_them_with(oracle: Any) -> None:
    words = f"case: oracle is '{oracle}'; allowed for grad: exact, again"
    with pytest.raises(ValueError, match=re.escape(words)):
        Case(64, 64, query_heads=2, ask="grad", oracle=oracle)


def test_gradients_cost_the_forward_pass_and_five_products() -> None:
    case = Case(64, 32, head_dim=16, value_dim=8, ask="grad")
    assert flops(case) == 2 * 64 * 32 * (16 + 8 + 3 * 16 + 2 * 8)


@pytest.mark.parametrize("sparsity", [-0.1, 1.5, math.nan])
def test_a_sparsity_outside_zero_to_one_is_refused(sparsity: float) -> None:
    with pytest.raises(ValueError, match="sparsity"):
        Case(64, 64, block_shape=(8, 8), sparsity=sparsity)


def test_a_sparsity_in_whole_percent_is_the_very_number_asked_for() -> None:
    wanted = [percent / 100 for percent in range(101)]
    assert [Case(64, 64, block_shape=(8, 8), sparsity=sparsity).sparsity for sparsity in wanted] == wanted


def test_any_other_sparsity_keeps_the_twelve_digits_of_its_id() -> None:
    assert Case(64, 64, block_shape=(8, 8), sparsity=1 / 3).sparsity == pytest.approx(1 / 3, rel=1e-11)


def test_the_usual_scale_is_one_over_the_root_of_head_dim() -> None:
    assert Case(64, 64, head_dim=64, value_dim=16).softmax_scale == 0.125


def test_a_scale_of_zero_is_not_the_usual_one() -> None:
    assert Case(64, 64, scale=0.0).softmax_scale == 0.0


def test_head_seeds_count_from_1234_by_batch_and_head() -> None:
    assert list(Case(64, 64, batch=2, query_heads=3).head_seeds()) == [1234, 1235, 1236, 1235, 1236, 1237]


@given(cases(longest=40))
@settings(max_examples=100, deadline=None)
def test_pairs_are_the_true_ones_of_the_token_mask(case: Case) -> None:
    assume(case.unsatisfiable is None)
    problem = Problem.of(case)
    rows, keys = range(case.query_length), range(case.key_length)
    heads = [(b, h) for b in range(case.batch) for h in range(case.query_heads)]
    masks = [problem.mask.allowed(problem.lengths, b, h, rows, keys) for b, h in heads]
    assert pairs(case) == sum(int(mask.sum()) for mask in masks)


def test_an_unsatisfiable_case_has_no_pairs() -> None:
    assert pairs(Case(64, 64, block_shape=(64, 64), sparsity=0.5)) == 0


@pytest.mark.parametrize(("causal", "counted"), [(None, 15), ("bottom-right", 12), ("top-left", 6)])
def test_flops_are_two_products_of_two_flops_per_pair(causal: Any, counted: int) -> None:
    case = Case(3, 5, head_dim=7, value_dim=11, batch=2, query_heads=3, key_heads=1, causal=causal)
    assert flops(case) == 2 * (7 + 11) * counted * 2 * 3
