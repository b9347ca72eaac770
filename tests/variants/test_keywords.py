"""What of a variant reaches a kernel, and what its tensors hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.registry import variants
from pytest_attn.problem.variants.variant import Variant

EVERY = dict.fromkeys(variants(), True)


def case_of(*variants: Variant, **fields: Any) -> Case:
    return Case(6, 9, **({"head_dim": 8, "batch": 3, "query_heads": 4, "key_heads": 2} | fields), variants=variants)


def keywords_of(case: Case, **claims: Any) -> dict[str, Any]:
    """The keywords that reach a kernel of these claims, but for the scale."""
    problem = Problem.of(case)

    @pytest_attn.kernel(any_scale=False, **claims)
    def record(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **keywords: Any) -> dict[str, Any]:
        return keywords

    found: dict[str, Any] = record.prepare(problem, Inputs.draw(problem, seed=1))()
    return found


def test_only_what_is_claimed_reaches_the_kernel() -> None:
    assert keywords_of(case_of()) == {}
    assert keywords_of(case_of(Softcap(5.0)), window_size=True) == {"window_size": (-1, -1)}


def test_without_a_variant_its_keywords_say_so() -> None:
    assert keywords_of(case_of(), **EVERY) == {
        "window_size": (-1, -1),
        "seqused_k": None,
        "cu_seqlens_q": None,
        "cu_seqlens_k": None,
        "max_seqlen_q": None,
        "max_seqlen_k": None,
        "block_table": None,
        "cache_seqlens": None,
        "softcap": 0.0,
        "alibi_slopes": None,
        "attn_bias": None,
        "sinks": None,
        "num_splits": 0,
    }


@pytest.mark.parametrize(
    ("variant", "name", "value"),
    [
        (WindowSize(3, 0), "window_size", (3, 0)),
        (WindowSize(None, 2), "window_size", (-1, 2)),
        (Softcap(30.0), "softcap", 30.0),
    ],
)
def test_a_number_reaches_the_kernel_as_it_is(variant: Variant, name: str, value: Any) -> None:
    assert keywords_of(case_of(variant), **{name: True}) == {name: value}


@pytest.mark.parametrize(
    ("variant", "name", "shape", "dtype"),
    [
        (KeyLengths(), "seqused_k", (3,), torch.int32),
        (Alibi(), "alibi_slopes", (4,), torch.float32),
        (Bias(), "attn_bias", (1, 1, 6, 9), torch.bfloat16),
        (Bias(per_batch=True), "attn_bias", (3, 1, 6, 9), torch.bfloat16),
        (Bias(per_head=True, float32=True), "attn_bias", (1, 4, 6, 9), torch.float32),
        (Sinks(), "sinks", (4,), torch.float32),
    ],
)
def test_a_tensor_has_its_shape_and_dtype(
    variant: Variant, name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    given = keywords_of(case_of(variant), **{name: True})[name]
    assert (tuple(given.shape), given.dtype) == (shape, dtype)


def test_causal_and_a_block_mask_reach_the_kernel_together() -> None:
    case = case_of(causal="bottom-right", sparsity=0.5, block_shape=(2, 3))
    claims = {"causal": True, "block_sparse": True, "lse": True, "gqa": True}
    given = keywords_of(case, **claims)
    assert given["causal"] is True
    assert given["block_mask"].block_shape == (2, 3)
    why_not = pytest_attn.Capabilities.of(**claims).why_not
    assert why_not(Problem.of(case), "cpu") == "block_sparse_causal"
    assert pytest_attn.Capabilities.of(**claims, block_sparse_causal=True).why_not(Problem.of(case), "cpu") is None


@pytest.mark.parametrize("name", EVERY)
def test_what_is_not_claimed_is_named(name: str) -> None:
    variant: Variant = {"window_size": WindowSize(3, 0)}.get(name) or variants()[name]()
    claims = {"lse": True, "gqa": True}
    problem = Problem.of(case_of(variant))
    assert pytest_attn.Capabilities.of(**claims).why_not(problem, "cpu") == name
    assert pytest_attn.Capabilities.of(**claims, **{name: True}).why_not(problem, "cpu") is None
    assert pytest_attn.Capabilities.of(**claims, variants=[name]).why_not(problem, "cpu") is None


def test_an_unknown_variant_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="variants has 'softcaps'; allowed: softcap"):
        pytest_attn.kernel(variants=["softcaps"])


def test_neither_variants_nor_their_tensors_change_query_key_and_value() -> None:
    plain = Inputs.draw(Problem.of(case_of()), 42)
    varied = Inputs.draw(Problem.of(case_of(KeyLengths(), Alibi(), Sinks())), 42)
    assert all(torch.equal(plain.named()[name], varied.named()[name]) for name in ("query", "key", "value"))
    assert plain.key_of_content != varied.key_of_content


def test_the_tensors_of_a_variant_follow_the_seed() -> None:
    problem = Problem.of(case_of(Bias(), Sinks()))
    assert Inputs.draw(problem, 1).equal(Inputs.draw(problem, 1))
    for name in ("attn_bias", "sinks"):
        assert not torch.equal(Inputs.draw(problem, 1).extras[name], Inputs.draw(problem, 2).extras[name])


def test_no_two_heads_have_the_same_slope() -> None:
    slopes = Inputs.draw(Problem.of(case_of(Alibi())), 1).extras["alibi_slopes"]
    assert len(set(slopes.tolist())) == 4
    assert 0 < float(slopes.min()) < float(slopes.max()) < 0.3


def test_a_write_into_a_tensor_of_a_variant_shows() -> None:
    given = GuardedInputs.of(Inputs.draw(Problem.of(case_of(KeyLengths(), Sinks())), 1))
    assert given.written() is None
    given.inputs.extras["seqused_k"][0] += 1
    assert given.written() == "seqused_k"
    assert given.aliased(given.inputs.extras["sinks"]) == "sinks"


def test_padding_holds_nan_where_the_inputs_are_poisoned_and_is_refilled_with_it() -> None:
    problem = Problem.of(case_of(KeyLengths()))
    given = GuardedInputs.of(Inputs.draw(problem, 1), poisoned=True)
    for each in (given, given.refill(Inputs.draw(problem, 2))):
        real = [int((~each.inputs.key[batch].isnan()).any(dim=2)[0].sum()) for batch in range(3)]
        assert real == each.inputs.extras["seqused_k"].tolist() == [9, 1, 0]
        assert torch.equal(each.inputs.key.isnan().any(dim=3), each.inputs.value.isnan().any(dim=3))
