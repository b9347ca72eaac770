"""The verdict on partial results: which split is wrong, or all of them merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.merging import merged_output
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.builtin.eager import eager
from pytest_attn.kernels.builtin.split_kv_decode import split_kv_decode
from pytest_attn.kernels.kernel import Output
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.variants import KeyLengths, NumSplits, Packed, Sinks
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.records.record import Record

CASE = Case(2, 300, head_dim=16, query_heads=4, key_heads=2, variants=(NumSplits(3),))
"""Keys 0-127, 128-255 and 256-299 of a kernel with tiles of 64."""

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def judged_on(case: Case, change: Change, **options: str) -> Verdict:
    """The verdict on the partial results of a right kernel, changed."""

    def changed(*tensors: Tensor, **keywords: object) -> tuple[Tensor, Tensor]:
        return change(*split_kv_decode(*tensors, **keywords))

    kernel = find_kernel("split_kv_decode")
    implementation = replace(kernel.implementation, function=changed)  # type: ignore[type-var]
    return Session(Options(**options)).cell(replace(kernel, implementation=implementation), case).judge()  # type: ignore[arg-type]


def at(number: int, lse: float = 0.0, out: float = 0.0) -> Change:
    """Something added to the results of one split."""

    def change(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
        outs[number] += out
        lses[number] += lse
        return outs, lses

    return change


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_right_partial_results_are_green(dtype: str) -> None:
    assert judged_on(replace(CASE, dtype=dtype), at(0)).passed


@pytest.mark.parametrize(("number", "keys"), [*enumerate(["0-127", "128-255", "256-299"])])
def test_a_failure_names_the_split_and_its_keys(number: int, keys: str) -> None:
    for change in (at(number, lse=1e-3), at(number, out=1e-3)):
        assert judged_on(CASE, change).summary.startswith(f"split {number} of 3 (keys {keys}): ")


def test_partial_results_of_half_types_are_judged_as_float32() -> None:
    rounded = judged_on(CASE, lambda out, lse: (out.bfloat16().float(), lse))
    assert rounded.summary.startswith("split 0 of 3 (keys 0-127): out: ")
    verdict = judged_on(CASE, lambda out, lse: (out.bfloat16(), lse))
    assert verdict.summary == "out: dtype torch.bfloat16, expected torch.float32"


def test_partial_results_of_another_number_of_splits_are_refused() -> None:
    verdict = judged_on(CASE, lambda out, lse: (out[:2], lse[:2]))
    assert verdict.summary == "out: shape [2, 1, 4, 2, 16], expected [3, 1, 4, 2, 16]"


def test_a_split_without_keys_has_the_lse_minus_infinity() -> None:
    case = replace(CASE, variants=(NumSplits(16),))
    verdict = judged_on(case, lambda out, lse: (out, lse.masked_fill(lse.isneginf(), 0.0)))
    assert verdict.summary.startswith("split 5 of 16: lse: 8 rows without keys are not -inf as declared")


def test_the_keys_of_a_split_are_not_named_where_each_sequence_has_its_own() -> None:
    case = replace(CASE, batch=3, variants=(KeyLengths(), NumSplits(3)))
    assert judged_on(case, at(1, out=1e-3)).summary.startswith("split 1 of 3: out: ")


def test_a_flat_tolerance_is_one_of_the_merged_result() -> None:
    assert judged_on(CASE, at(1, lse=1e-4), tolerance="bsa").passed
    assert not judged_on(CASE, at(1, lse=0.3), tolerance="bsa").passed


def test_partial_results_merge_by_the_weight_that_their_keys_carry() -> None:
    """Keys of equal weight: three in one split, one in the other, none in the last."""
    outs = torch.tensor([1.0, 5.0, 0.0]).view(3, 1, 1, 1, 1)
    lses = torch.tensor([3.0, 1.0, 0.0]).log().view(3, 1, 1, 1)
    whole = merged_output(Output(outs, lses))
    assert whole.lse is not None
    assert (whole.out.item(), whole.lse.exp().item()) == pytest.approx((2.0, 4.0))


def test_splits_that_are_all_without_keys_merge_to_nothing() -> None:
    whole = merged_output(Output(torch.zeros(2, 1, 1, 1, 4), torch.full((2, 1, 1, 1), -torch.inf)))
    assert whole.lse is not None
    assert (whole.out.count_nonzero().item(), whole.lse.item()) == (0, -torch.inf)


@pytest.mark.parametrize("oracle", ["again", "sequence", "lonehead", "summedvalues", "permutedkeys", "splitkeys"])
def test_partial_results_are_judged_by_relations(oracle: str) -> None:
    record: Record = Session(Options()).cell("split_kv_decode", replace(CASE, oracle=oracle)).record()  # type: ignore[arg-type]
    assert (record.outcome, record.reason) == ("passed", "")


def test_a_split_that_differs_in_a_second_call_is_named() -> None:
    calls: list[int] = []

    def change(out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(1)
        return at(2, out=1e-7 * (len(calls) == 3))(out, lse)

    verdict = judged_on(replace(CASE, oracle="again"), change)
    assert verdict.summary.startswith("second call of a prepared run: out of split 2: ")


@pytest.mark.parametrize("other", [Packed(), Sinks()], ids=lambda variant: variant.capability)
def test_what_has_no_place_for_splits_is_refused(other: Variant) -> None:
    with pytest.raises(ValueError, match=f"num_splits does not combine with {other.capability}"):
        Case(4, 8, variants=(NumSplits(2), other))


def test_splits_need_output_and_lse() -> None:
    with pytest.raises(ValueError, match="ask is 'out'; allowed with num_splits: both"):
        Case(4, 8, ask="out", variants=(NumSplits(2),))
    with pytest.raises(ValueError, match="num_splits is 0; allowed: 1 or more"):
        NumSplits(0)


@pytest.mark.parametrize("tile", [0, -1, 1.0, True, None])
def test_a_tile_that_is_no_number_of_keys_is_refused(tile: object) -> None:
    with pytest.raises(ValueError, match=r"^kernel: split_tile is .*; allowed: a whole number, 1 or more$"):
        replace(eager.capabilities, split_tile=tile)  # type: ignore[arg-type]
