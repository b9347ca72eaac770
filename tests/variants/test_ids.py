"""Variants in a case and in its id."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from pytest_attn.problem.case import Case
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.registry import variants
from pytest_attn.problem.variants.seqused_k import ragged_lengths
from pytest_attn.problem.variants.variant import Variant


class Unknown(Sinks):
    """Nobody registered it."""

    capability = "unknown"


HEAD = "b1-h1-s64-d128-bfloat16"
TOKENS: list[tuple[Variant, str]] = [
    (WindowSize(128, 0), "win128x0"),
    (WindowSize(None, 7), "wininfx7"),
    (WindowSize(7, -1), "win7xinf"),
    (KeyLengths(), "ragged"),
    (KeyLengths(turned=True), "raggedturned"),
    (Packed(), "packed"),
    (Packed(turned=True), "packedturned"),
    (Paged(16), "paged16"),
    (Paged(16, turned=True), "paged16turned"),
    (Softcap(30.0), "softcap30"),
    (Softcap(0.5), "softcap0p5"),
    (Alibi(), "alibi"),
    (Bias(), "bias1x1"),
    (Bias(per_batch=True), "biasbx1"),
    (Bias(per_head=True, float32=True), "bias1xhf32"),
    (Sinks(), "sinks"),
    (NumSplits(4), "splits4"),
]


@pytest.mark.parametrize(("variant", "token"), TOKENS, ids=[token for _, token in TOKENS])
def test_a_variant_is_one_token_of_the_id(variant: Variant, token: str) -> None:
    case = Case(64, 64, variants=(variant,))
    assert case.id == f"{HEAD}-{token}-both-exact"
    assert Case.parse(case.id) == case


def test_every_built_in_variant_has_a_token_here() -> None:
    assert {type(variant) for variant, _ in TOKENS} >= {v for v in variants().values() if "pytest_attn" in v.__module__}


def test_the_order_of_tokens_is_that_of_registration_whatever_the_order_given() -> None:
    case = Case(64, 64, causal="bottom-right", recipe="needle", variants=(Sinks(), Softcap(30.0), WindowSize(9, 0)))
    assert case.id == f"{HEAD}-causal-win9x0-softcap30-sinks-needle-both-exact"
    assert Case.parse(case.id) == case
    with pytest.raises(ValueError, match=r"not in its one spelling; allowed: '.*softcap30-sinks"):
        Case.parse(f"{HEAD}-sinks-softcap30-both-exact")


def test_causal_combines_with_sparsity_in_one_id() -> None:
    case = Case(64, 64, causal="bottom-right", sparsity=0.5, block_shape=(16, 16))
    assert case.id == f"{HEAD}-causal-sp50pct-bs16x16-both-exact"
    assert Case.parse(case.id) == case


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"variants": (WindowSize(),)}, "window_size has no limit; allowed: a limit on one side at least"),
        ({"variants": (WindowSize(3, 0),), "causal": "top-left"}, "window_size does not combine with causal top-left"),
        ({"variants": (Softcap(3.0), Softcap(4.0))}, "variants has two of softcap; allowed: one of each"),
        ({"variants": (Bias(float32=True),), "dtype": "float32"}, "attn_bias of float32 is that of the dtype here"),
        ({"variants": (Packed(), KeyLengths())}, "cu_seqlens does not combine with seqused_k"),
        ({"variants": (Packed(), Paged())}, "cu_seqlens does not combine with block_table"),
        ({"variants": (Packed(), Bias())}, "cu_seqlens does not combine with attn_bias"),
        (
            {"variants": (Packed(),), "sparsity": 0.5, "block_shape": (8, 8)},
            "cu_seqlens does not combine with sparsity",
        ),
        ({"variants": (Packed(),), "layout": "bsnd"}, "layout bsnd does not combine with cu_seqlens"),
        ({"variants": (Paged(),), "layout": "bsnd"}, "layout bsnd does not combine with block_table"),
        ({"variants": (Paged(), KeyLengths())}, "block_table does not combine with seqused_k"),
        ({"variants": ("sinks",)}, "variants has 'sinks'; allowed: instances of pytest_attn.Variant"),
        (
            {"variants": (Unknown(),)},
            "variants has Unknown, which is not registered; allowed: register_variant(Unknown)",
        ),
        ({"variants": (Sinks(),), "oracle": "fias"}, "the fias oracle does not know sinks; allowed: exact"),
        ({"variants": (Sinks(),), "oracle": "loop"}, "the loop oracle does not know sinks; allowed: exact"),
        (
            {"variants": (Sinks(),), "oracle": "analytic", "recipe": "zeros"},
            "the analytic oracle does not know sinks; allowed: exact",
        ),
        ({"variants": (Softcap(3.0),), "oracle": "shiftedkeys"}, "shiftedkeys does not hold for softcap"),
        ({"variants": (Alibi(),), "oracle": "permutedkeys"}, "permutedkeys does not hold for alibi_slopes"),
        ({"variants": (Alibi(),), "oracle": "hiddenkeys"}, "hiddenkeys does not exist here; it needs a mask"),
    ],
)
def test_what_does_not_combine_is_refused_in_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^case: {re.escape(says)}"):
        Case(64, 64, **fields)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: WindowSize(-2, 0), "window_size left is -2; allowed: 0 or more, or None for no limit"),
        (lambda: Paged(0), "block_table has pages of 0 keys; allowed: 1 or more"),
        (lambda: Softcap(0.0), "softcap is 0.0; allowed: a positive number"),
        (lambda: Softcap(float("nan")), "softcap is nan; allowed: a positive number"),
    ],
)
def test_a_value_without_meaning_is_refused(build: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^case: {re.escape(says)}"):
        build()


def test_an_unknown_token_names_the_closest_ones() -> None:
    with pytest.raises(ValueError, match=r"no variant 'sink'; allowed: sinks"):
        Case.parse(f"{HEAD}-sink-both-exact")


@pytest.mark.parametrize("batch", range(1, 9))
@pytest.mark.parametrize("longest", [1, 2, 60, 65, 129, 300])
def test_lengths_are_full_one_none_and_at_the_edges_of_a_tile(batch: int, longest: int) -> None:
    lengths = ragged_lengths(batch, longest)
    assert len(lengths) == batch
    assert all(0 <= length <= longest for length in lengths)
    if batch >= 3:
        assert {longest, 1, 0} <= set(lengths)
    if batch >= 6 and longest > 64:
        assert any({tile - 1, tile, tile + 1} <= set(lengths) for tile in (64, 128))


@pytest.mark.parametrize("batch", range(2, 9))
def test_turned_lengths_are_those_of_the_next_batch(batch: int) -> None:
    lengths, turned = ragged_lengths(batch, 300), ragged_lengths(batch, 300, turned=True)
    assert turned == (*lengths[1:], lengths[0]) != lengths


def test_a_batch_of_one_is_shorter_where_it_is_turned() -> None:
    assert (ragged_lengths(1, 300), ragged_lengths(1, 300, turned=True)) == ((200,), (100,))


def test_ids_with_variants_need_no_torch() -> None:
    code = (
        "import sys; from pytest_attn.problem.case import Case; "
        f"case = Case.parse('{HEAD}-win9x0-ragged-softcap30-alibi-bias1x1-sinks-both-exact'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
