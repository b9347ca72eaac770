"""Bugs that kernels of each variant have had: the smallest wrong step is red, and the right kernel is green."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.kernels.adapters import FunctionKernel
from pytest_attn.kernels.builtin.eager import eager
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.records.record import Record

Change = Callable[[dict[str, Any]], dict[str, Any]]


def planted(change: Change, **claims: Any) -> Kernel:
    """The eager kernel, given other keywords than it was passed; those of `claims` are added to its capabilities."""
    capabilities = replace(eager.capabilities, **claims)

    def kernel(query: Tensor, key: Tensor, value: Tensor, **keywords: Any) -> Any:
        return eager(query, key, value, **change(keywords))

    return Kernel("planted", FunctionKernel(kernel, capabilities), capabilities, eager.numerics)


def record_of(kernel: Kernel | str, case: Case) -> Record:
    return Session(Options()).cell(kernel, case).record()


def small(*variants: Variant, **fields: Any) -> Case:
    """65 queries of 4 heads that share 2, 6 batches, 129 keys."""
    shape = {"head_dim": 32, "batch": 6, "query_heads": 4, "key_heads": 2, "causal": "bottom-right"}
    return Case(65, 129, **(shape | fields), variants=variants)


def wider(keywords: dict[str, Any], left: int, right: int) -> dict[str, Any]:
    window = keywords["window_size"]
    return keywords | {"window_size": (window[0] + left, window[1] + right)}


def rolled(keywords: dict[str, Any], name: str) -> dict[str, Any]:
    return keywords | {name: keywords[name].roll(1, 0)}


def longer(keywords: dict[str, Any], more: int) -> dict[str, Any]:
    return keywords | {"seqused_k": (keywords["seqused_k"] + more).clamp(0, 129).to(torch.int32)}


def longer_cache(keywords: dict[str, Any], more: int) -> dict[str, Any]:
    return keywords | {"cache_seqlens": (keywords["cache_seqlens"] + more).clamp(0, 129).to(torch.int32)}


def moved(ends: Tensor) -> Tensor:
    """All inner ends one further."""
    inner = (ends + 1).clamp_max(int(ends[-1]))
    return torch.cat([ends[:1], inner[1:]]).to(torch.int32)


def shared(ends: Tensor) -> Tensor:
    """A sequence without keys begins one key earlier, and so does the one behind it."""
    lengths = ends.diff()
    first = int((lengths == 0).nonzero()[0])
    lengths[first], lengths[first + 1] = 1, lengths[first + 1] - 1
    return torch.cat([ends[:1], lengths.cumsum(0)]).to(torch.int32)


def exchanged(table: Tensor) -> Tensor:
    """The first page of the first sequence, which every row sees, and the last whole one, which not every row does."""
    table = table.clone()
    table[0, [0, 7]] = table[0, [7, 0]]
    return table


BUGS: dict[str, tuple[Case, Change]] = {
    "one key more to the left": (small(WindowSize(40, 0)), lambda k: wider(k, 1, 0)),
    "one key less to the left": (small(WindowSize(40, 0)), lambda k: wider(k, -1, 0)),
    "one key more to the right": (small(WindowSize(40, 9), causal=None), lambda k: wider(k, 0, 1)),
    "no window": (small(WindowSize(40, 0)), lambda k: k | {"window_size": (-1, -1)}),
    "a padding key attended": (small(KeyLengths()), lambda k: longer(k, 1)),
    "the last key of each batch left out": (small(KeyLengths()), lambda k: longer(k, -1)),
    "the lengths of another batch": (small(KeyLengths()), lambda k: rolled(k, "seqused_k")),
    "the queries of each sequence one behind": (
        small(Packed(), Alibi()),
        lambda k: k | {"cu_seqlens_q": moved(k["cu_seqlens_q"])},
    ),
    "the keys of each sequence one behind": (
        small(Packed()),
        lambda k: k | {"cu_seqlens_k": moved(k["cu_seqlens_k"])},
    ),
    "a key of an empty sequence's neighbour": (
        small(Packed(), causal=None),
        lambda k: k | {"cu_seqlens_k": shared(k["cu_seqlens_k"])},
    ),
    "two pages exchanged": (small(Paged(16)), lambda k: k | {"block_table": exchanged(k["block_table"])}),
    "a page past the last": (small(Paged(16)), lambda k: longer_cache(k, 1)),
    "the last key of the cache left out": (small(Paged(16)), lambda k: longer_cache(k, -1)),
    "pages of another batch": (small(Paged(1)), lambda k: rolled(k, "block_table")),
    "no cap": (small(Softcap(30.0)), lambda k: k | {"softcap": 0.0}),
    "a cap of 29.9": (small(Softcap(30.0), recipe="large"), lambda k: k | {"softcap": 29.9}),
    "no slopes": (small(Alibi()), lambda k: k | {"alibi_slopes": torch.zeros(4)}),
    "the slopes of another head": (small(Alibi()), lambda k: rolled(k, "alibi_slopes")),
    "slopes of half precision": (small(Alibi()), lambda k: k | {"alibi_slopes": k["alibi_slopes"].bfloat16().float()}),
    "no bias": (small(Bias()), lambda k: k | {"attn_bias": None}),
    "the bias of another batch": (small(Bias(per_batch=True)), lambda k: rolled(k, "attn_bias")),
    "a bias one key off": (small(Bias()), lambda k: k | {"attn_bias": k["attn_bias"].roll(1, 3)}),
    "a float32 bias rounded": (small(Bias(float32=True)), lambda k: k | {"attn_bias": k["attn_bias"].bfloat16()}),
    "no sinks": (small(Sinks()), lambda k: k | {"sinks": None}),
    "the sink of another head": (small(Sinks()), lambda k: rolled(k, "sinks")),
    "sinks in base 2": (small(Sinks()), lambda k: k | {"sinks": k["sinks"] / math.log(2)}),
    "causal beside blocks forgotten": (
        small(sparsity=0.5, block_shape=(16, 32), query_heads=2, batch=1),
        lambda k: k | {"causal": False},
    ),
    "blocks beside causal forgotten": (
        small(sparsity=0.5, block_shape=(16, 32), query_heads=2, batch=1),
        lambda k: k | {"block_mask": None},
    ),
}


def in_every_dtype(case: Case) -> list[Case]:
    """The case in each dtype that it exists in: a float32 bias is that of the dtype in float32."""
    dtypes = DTYPES[:2] if Bias(float32=True) in case.variants else DTYPES
    return [replace(case, dtype=dtype) for dtype in dtypes]


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_red_in_every_dtype(bug: str) -> None:
    case, change = BUGS[bug]
    # Judged and not recorded: what is wrong with it is the diagnosis's matter.
    cells = [Session(Options()).cell(planted(change), each) for each in in_every_dtype(case)]
    assert [cell.skipped() for cell in cells] == [None] * len(cells)
    assert [cell.case.id for cell in cells if cell.judge().passed] == []


RIGHT = {each.id: each for case, _ in BUGS.values() for each in in_every_dtype(case)}


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_kernel_is_green(name: str) -> None:
    record = record_of("eager", RIGHT[name])
    assert (record.outcome, record.reason) == ("passed", "")


@pytest.mark.parametrize("tolerance", ["flash-attention", "pytorch-fudge", "allclose-1e-2", "bsa"])
def test_the_right_kernel_is_green_under_flat_tolerances(tolerance: str) -> None:
    case = small(WindowSize(40, 0), KeyLengths(), Softcap(30.0), Alibi(), Bias(), Sinks())
    record = Session(Options(tolerance=tolerance)).cell("eager", case).record()
    assert (record.outcome, record.reason) == ("passed", "")


def test_an_lse_without_the_sink_is_red() -> None:
    capabilities = eager.capabilities

    def kernel(query: Tensor, key: Tensor, value: Tensor, **keywords: Any) -> Any:
        out, _ = eager(query, key, value, **keywords)
        return out, eager(query, key, value, **keywords | {"sinks": None})[1]

    planted_lse = Kernel("planted", FunctionKernel(kernel, capabilities), capabilities, eager.numerics)
    assert "lse" in record_of(planted_lse, small(Sinks())).reason


def test_a_length_that_is_ignored_shows_as_nan_where_padding_is_claimed_unread() -> None:
    record = record_of(planted(lambda k: k | {"seqused_k": None}), small(KeyLengths()))
    assert record.outcome == "failed"
    assert "not finite" in record.reason


def test_padding_is_finite_where_it_is_not_claimed_unread() -> None:
    seen = []

    def kernel(query: Tensor, key: Tensor, value: Tensor, **keywords: Any) -> Any:
        seen.append(bool(key.isfinite().all() and value.isfinite().all()))
        return eager(query, key, value, **keywords)

    for claimed in (True, False):
        capabilities = replace(eager.capabilities, unread_padding=claimed)
        spy = Kernel("spy", FunctionKernel(kernel, capabilities), capabilities, eager.numerics)
        assert record_of(spy, small(KeyLengths())).outcome == "passed"
    assert list(dict.fromkeys(seen)) == [False, True]
    assert seen == sorted(seen)


def approximate_tanh(scores: Tensor) -> Tensor:
    """Off by at most 2^-11 of itself, as hardware's is."""
    return scores.tanh() * (1 + 2**-11.5 * torch.sin(1000 * scores))


@pytest.mark.parametrize("recipe", ["normal", "large", "needle"])
def test_a_tangent_is_judged_by_the_error_that_is_declared(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case = small(Softcap(15.0), recipe=recipe)
    approximate = replace(eager, numerics=dict.fromkeys(DTYPES, Numerics(probabilities="float32")))
    monkeypatch.setattr(torch, "tanh", approximate_tanh)  # the kernel's; the oracle's is a method
    assert record_of(approximate, case).outcome == "passed"
    assert record_of("eager", case).outcome == "failed"
