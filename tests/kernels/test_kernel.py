"""How an author declares a kernel, and how it is called."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.kernels.kernel import as_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def keywords_of(case: Case, **claims: Any) -> dict[str, Any]:
    """The keywords that reach a kernel of these claims."""
    problem = Problem.of(case)

    @pytest_attn.kernel(**claims)
    def record(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **keywords: Any) -> dict[str, Any]:
        return keywords

    found: dict[str, Any] = record.prepare(problem, Inputs.draw(problem, seed=1))()
    return found


SMALL = Case(4, 4, head_dim=8, ask="out")
CAUSAL = Case(4, 6, head_dim=8, causal="bottom-right")
TOP_LEFT = Case(4, 6, head_dim=8, causal="top-left")
SPARSE = Case(256, 256, head_dim=8, sparsity=0.5, block_shape=(128, 128))


def test_a_keyword_reaches_the_kernel_only_where_its_capability_is_claimed() -> None:
    assert set(keywords_of(SMALL)) == {"scale"}
    assert set(keywords_of(SMALL, any_scale=False)) == set()
    everything = keywords_of(SMALL, lse=True, causal=True, causal_top_left=True, block_sparse=True)
    assert set(everything) == {"scale", "causal", "causal_top_left", "block_mask", "return_lse"}


def test_keywords_say_what_the_problem_is() -> None:
    assert keywords_of(SMALL)["scale"] == pytest.approx(8**-0.5)
    assert keywords_of(SMALL, lse=True)["return_lse"] is False
    assert keywords_of(CAUSAL, lse=True)["return_lse"] is True
    claims = {"causal": True, "causal_top_left": True}
    assert [keywords_of(CAUSAL, **claims)[name] for name in claims] == [True, False]
    assert [keywords_of(TOP_LEFT, **claims)[name] for name in claims] == [False, True]
    assert keywords_of(SMALL, block_sparse=True)["block_mask"] is None
    assert keywords_of(SPARSE, block_sparse=True)["block_mask"].block_shape == (128, 128)


def test_a_declared_function_can_still_be_called() -> None:
    @pytest_attn.kernel(lse=True)
    def double(query: int) -> int:
        return 2 * query

    assert double(3) == 6
    assert double.name == "double"


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"lsee": True}, "unknown capability 'lsee'; allowed: lse"),
        ({"dtypes": ("bf16",)}, "dtypes has 'bf16'; allowed: bfloat16"),
        ({"devices": ("gpu",)}, "devices has 'gpu'; allowed: .*cuda"),
        ({"dtypes": "bf16"}, "dtypes has 'bf16'; allowed: bfloat16"),
        ({"dtypes": torch.float16}, "dtypes has torch.float16; allowed: float16"),
        ({"dtypes": None}, "dtypes has None; allowed: "),
        ({"variants": "window_sise"}, "variants has 'window_sise'; allowed: window_size"),
        ({"head_dims": "64"}, "head_dims has '64'; allowed: None, or whole numbers, 1 or more$"),
        ({"head_dims": (64, 0)}, "head_dims has 0; allowed: None, or whole numbers, 1 or more$"),
        ({"key_heads": True}, "key_heads has True; allowed: None, or whole numbers, 1 or more$"),
        ({"block_sizes": 128.0}, "block_sizes has 128.0; allowed: None, or whole numbers, 1 or more$"),
        ({"lse": "yes"}, "lse is 'yes'; allowed: True, False$"),
        ({"causal": None}, "causal is None; allowed: True, False$"),
        ({"gqa": 1}, "gqa is 1; allowed: True, False$"),
        ({"window_size": "yes"}, "window_size is 'yes'; allowed: True, False$"),
        ({"bsnd": True}, "bsnd is True and strided is False; allowed: strided=True beside bsnd=True$"),
        ({"name": 3}, "name is 3; allowed: a text or None$"),
    ],
)
def test_an_unknown_claim_is_refused_by_name(claims: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^kernel: {says}"):
        pytest_attn.kernel(**claims)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dtypes", "float16"),
        ("devices", "cuda"),
        ("head_dims", 64),
        ("key_heads", 2),
        ("block_sizes", 128),
        ("variants", "window_size"),
    ],
)
def test_a_single_value_stands_for_a_collection_of_it(name: str, value: Any) -> None:
    kernel = pytest_attn.kernel(**{name: value})(lambda query, key, value: query)
    assert getattr(kernel.capabilities, name) == (value,)


@pytest.mark.parametrize("collection", [[64, 128], {64: 1, 128: 1}, range(64, 129, 64)], ids=["list", "dict", "range"])
def test_every_collection_is_one(collection: Any) -> None:
    assert pytest_attn.Capabilities(head_dims=collection).head_dims == (64, 128)


@pytest.mark.parametrize(
    ("implementation", "says"),
    [
        (3, "it is of type int; allowed: a function"),
        ("kernel.py:attend", "it is of type str; allowed: a function"),
        (Problem, "Problem is a class without prepare; allowed: a function"),
    ],
)
def test_a_declaration_of_what_cannot_be_a_kernel_is_refused(implementation: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^kernel: {says}"):
        pytest_attn.kernel(lse=True)(implementation)


def test_a_layout_that_is_overclaimed_is_claimed_with_what_it_needs() -> None:
    widened = pytest_attn.Capabilities().widened(Problem.of(SMALL), "cpu", "bsnd")
    assert (widened.strided, widened.bsnd) == (True, True)


def test_a_plain_function_is_dense_without_lse() -> None:
    kernel = as_kernel(lambda q, k, v, scale: q, "plain")
    why_not = kernel.capabilities.why_not
    assert why_not(Problem.of(SMALL), "cpu") is None
    assert why_not(Problem.of(Case(4, 4, head_dim=8)), "cpu") == "lse"
    assert why_not(Problem.of(CAUSAL), "cpu") == "lse"
    assert why_not(Problem.of(SPARSE), "cpu") == "lse"


def test_a_plain_function_without_a_scale_takes_only_the_default_one() -> None:
    kernel = as_kernel(lambda q, k, v: q, "plain")
    assert kernel.capabilities.why_not(Problem.of(SMALL), "cpu") is None
    other = Case(4, 4, head_dim=8, ask="out", scale=0.5)
    assert kernel.capabilities.why_not(Problem.of(other), "cpu") == "any_scale"


@pytest.mark.parametrize(
    ("case", "claims", "reason"),
    [
        (Case(4, 4, head_dim=8, ask="out", dtype="float32"), {"dtypes": ("float16",)}, "dtype float32"),
        (SMALL, {"devices": ("cuda",)}, "device cpu"),
        (SMALL, {"head_dims": [64, 128]}, "head_dim 8"),
        (CAUSAL, {"lse": True}, "causal"),
        (TOP_LEFT, {"lse": True, "causal": True}, "causal_top_left"),
        (SPARSE, {"lse": True}, "block_sparse"),
        (SPARSE, {"lse": True, "block_sparse": True, "block_sizes": (64,)}, "block_sizes 128"),
        (Case(4, 4, query_heads=2, key_heads=1, head_dim=8, ask="out"), {}, "gqa"),
        (Case(4, 6, head_dim=8, ask="out"), {"cross_attention": False}, "cross_attention"),
        (Case(4, 4, head_dim=8, value_dim=16, ask="out"), {}, "value_dim"),
    ],
)
def test_what_is_not_claimed_is_named(case: Case, claims: dict[str, Any], reason: str) -> None:
    assert pytest_attn.Capabilities.of(**claims).why_not(Problem.of(case), "cpu") == reason


def test_a_class_prepares_and_then_runs() -> None:
    @pytest_attn.kernel(lse=True)
    class Prepared:
        def prepare(self, problem: Problem, inputs: Inputs) -> Any:
            ready = inputs.query * problem.scale
            return lambda: ready

    problem = Problem.of(SMALL)
    inputs = Inputs.draw(problem, seed=1)
    assert torch.equal(Prepared.prepare(problem, inputs)(), inputs.query * problem.scale)
    with pytest.raises(TypeError, match="is a class with prepare"):
        Prepared(1)


def test_what_cannot_be_a_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="it is of type int; allowed: a function"):
        as_kernel(3, "three")
