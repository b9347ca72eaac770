"""The model of npu_fused_infer_attention_score, against predicates and sums written pair by pair."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from fias_calls import LOWEST, UPPER, attended, fias, normal, one_thread, ramp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_attn.oracles.fias.model import CHUNK_ROWS, fused_infer_attention_score

__all__ = ["one_thread"]


@dataclass(frozen=True)
class Row:
    """One row of the truth: which keys it processes, which of these it keeps."""

    processed: list[int]
    kept: list[int]


@dataclass(frozen=True, kw_only=True)
class Small:
    """A problem small enough to be asked pair by pair."""

    query: Tensor
    key: Tensor
    value: Tensor
    mode: int = 0
    mask: Tensor | None = None
    before: int = 2147483647
    after: int = 2147483647
    precise: int = 0
    query_lengths: list[int] = field(default_factory=list)
    key_lengths: list[int] = field(default_factory=list)

    def row(self, batch: int, i: int) -> Row:
        last_query, last_key = self.query_lengths[batch] - 1, self.key_lengths[batch] - 1
        if i > last_query:
            return Row([], [])
        keys = range(last_key + 1)
        processed = [j for j in keys if self.query.shape[2] == 1 or self.in_band(i, j, last_query, last_key)]
        full = self.mask is not None and (self.mode < 2 or self.query.shape[2] == 1)
        return Row(processed, [j for j in processed if not (full and self.hidden(batch, i, j))])

    def in_band(self, i: int, j: int, last_query: int, last_key: int) -> bool:
        from_end = (last_query - i) - (last_key - j)
        if self.mode == 0:
            return self.mask is None or (i - self.before <= j <= i + self.after)
        if self.mode == 4:
            return -self.before <= from_end <= self.after
        return (True, j <= i, from_end <= 0)[self.mode - 1]

    def hidden(self, batch: int, i: int, j: int) -> bool:
        assert self.mask is not None
        mask = self.mask.reshape(-1, *self.mask.shape[-2:])
        return bool(mask[batch % len(mask), i, j])

    def expected(self, batch: int, head: int, i: int) -> tuple[Tensor, float]:
        key_head = head // (self.query.shape[1] // self.key.shape[1])
        value = self.value[batch, key_head].double()
        row = self.row(batch, i)
        decoding = self.query.shape[2] == 1
        if not row.processed or (not row.kept and self.precise >= 2):
            return torch.zeros(value.shape[1]).double(), LOWEST if decoding else math.inf
        if not row.kept:
            score = -1e12 if decoding else LOWEST
            return value[row.processed].mean(0), score + math.log(len(row.processed))
        logits = 0.5 * (self.key[batch, key_head, row.kept].double() @ self.query[batch, head, i].double())
        powers = torch.exp(logits - logits.max())
        return powers @ value[row.kept] / powers.sum(), float(logits.max() + powers.sum().log())

    def run(self) -> tuple[Tensor, Tensor]:
        mask = UPPER if self.mode > 1 and self.query.shape[2] > 1 else self.mask
        return fias(
            self.query,
            self.key,
            self.value,
            atten_mask=mask,
            actual_seq_lengths=self.query_lengths,
            actual_seq_lengths_kv=self.key_lengths,
            pre_tokens=self.before,
            next_tokens=self.after,
            sparse_mode=self.mode,
            inner_precise=self.precise,
        )

    def check(self, tolerance: float) -> None:
        rows = [self.expected(*row) for row in itertools.product(*map(range, self.query.shape[:3]))]
        out, lse = (result.double().flatten(0, 2) for result in self.run())
        torch.testing.assert_close(out, torch.stack([row for row, _ in rows]), rtol=tolerance, atol=tolerance)
        weights = torch.tensor([weight for _, weight in rows], dtype=torch.float64)
        torch.testing.assert_close(lse[:, 0], weights, rtol=tolerance, atol=tolerance)


@st.composite
def smalls(draw: st.DrawFn) -> Small:
    size = st.integers(1, 5)
    batch, key_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    query_length, key_length, width = draw(size), draw(size), draw(size)
    mode, before = draw(st.integers(0, 4)), draw(st.integers(-3, 5))
    hidden = draw(st.lists(st.booleans(), min_size=25 * batch, max_size=25 * batch))
    mask = torch.tensor(hidden).reshape(batch, 1, 5, 5)[:, :, : 1 if query_length == 1 else 5]
    seed, dtype = draw(st.integers(0, 99)), draw(st.sampled_from([torch.float32, torch.bfloat16]))
    return Small(
        query=normal(batch, key_heads * group, query_length, width, seed=seed, dtype=dtype),
        key=normal(batch, key_heads, key_length, width, seed=seed + 1, dtype=dtype),
        value=normal(batch, key_heads, key_length, draw(size), seed=seed + 2, dtype=dtype),
        mode=mode,
        mask=None if mode == 0 and draw(st.booleans()) else mask,
        before=before,
        after=draw(st.integers(-before, 5)),
        precise=draw(st.integers(0, 1 if query_length == 1 else 3)),
        query_lengths=[draw(st.integers(int(query_length == 1), query_length)) for _ in range(batch)],
        key_lengths=[draw(st.integers(0, key_length)) for _ in range(batch)],
    )


@settings(max_examples=100, deadline=None)
@given(smalls())
def test_every_row_of_every_small_problem_is_as_the_pairs_say(small: Small) -> None:
    small.check(1e-12 if small.query.dtype == torch.float32 else 1e-5)


def test_without_a_mask_mode_0_attends_to_every_key_whatever_the_band() -> None:
    out, lse = fias(*ramp(3, 5), pre_tokens=0, next_tokens=-7)
    assert attended(out) == [[0, 1, 2, 3, 4]] * 3
    assert lse.flatten().tolist() == pytest.approx([math.log(5)] * 3)


def test_mode_0_cuts_its_band_from_the_top_left() -> None:
    mask = torch.zeros(4, 6, dtype=torch.bool)
    out, _ = fias(*ramp(4, 6), atten_mask=mask, pre_tokens=1, next_tokens=2)
    assert attended(out) == [[0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


@pytest.mark.parametrize("precise", [0, 2])
def test_mode_0_takes_what_both_the_mask_and_the_band_allow(precise: int) -> None:
    mask = torch.tensor([[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0]]).bool()
    arguments: dict[str, Any] = {"pre_tokens": 1, "next_tokens": 1, "inner_precise": precise}
    out, _ = fias(*ramp(3, 4), atten_mask=mask, **arguments)
    assert attended(out) == [[0], [0, 1], [3]]


def test_mode_1_reads_the_mask_and_no_band() -> None:
    mask = torch.tensor([[0, 1, 0], [1, 1, 0]]).bool()
    out, _ = fias(*ramp(2, 3), atten_mask=mask, sparse_mode=1, pre_tokens=0, next_tokens=0)
    assert attended(out) == [[0, 2], [2]]


def test_mode_2_aligns_the_diagonal_top_left() -> None:
    out, _ = fias(*ramp(3, 5), atten_mask=UPPER, sparse_mode=2)
    assert attended(out) == [[0], [0, 1], [0, 1, 2]]


def test_mode_3_aligns_the_diagonal_bottom_right() -> None:
    out, _ = fias(*ramp(3, 5), atten_mask=UPPER, sparse_mode=3)
    assert attended(out) == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]


def test_mode_4_cuts_its_band_from_the_bottom_right() -> None:
    out, _ = fias(*ramp(3, 5), atten_mask=UPPER, sparse_mode=4, pre_tokens=1, next_tokens=0)
    assert attended(out) == [[1, 2], [2, 3], [3, 4]]


def test_mode_4_takes_one_negative_side() -> None:
    behind, _ = fias(*ramp(3, 4), atten_mask=UPPER, sparse_mode=4, pre_tokens=3, next_tokens=-1)
    ahead, _ = fias(*ramp(3, 4), atten_mask=UPPER, sparse_mode=4, pre_tokens=-1, next_tokens=2)
    assert attended(behind) == [[0], [0, 1], [0, 1, 2]]
    assert attended(ahead) == [[2, 3], [3], []]


def test_modes_1_2_and_3_ignore_a_band_that_mode_4_would_refuse() -> None:
    for mode, mask in ((1, torch.zeros(2, 2).bool()), (2, UPPER), (3, UPPER)):
        fias(*ramp(2, 2), atten_mask=mask, sparse_mode=mode, pre_tokens=-5, next_tokens=-5)


@pytest.mark.parametrize("mode", [3, 4])
def test_the_alignment_follows_the_actual_lengths_of_each_batch(mode: int) -> None:
    lengths: dict[str, Any] = {"actual_seq_lengths": [2, 3], "actual_seq_lengths_kv": [4, 3]}
    out, _ = fias(*ramp(3, 5, batch=2), atten_mask=UPPER, sparse_mode=mode, next_tokens=0, **lengths)
    assert attended(out) == [[0, 1, 2], [0, 1, 2, 3], []]
    assert attended(out[1:]) == [[0], [0, 1], [0, 1, 2]]


def test_one_actual_length_holds_for_every_batch_and_surplus_lengths_go_unread() -> None:
    inputs = ramp(3, 5, batch=2)
    one, _ = fias(*inputs, actual_seq_lengths_kv=[2])
    many, _ = fias(*inputs, actual_seq_lengths_kv=[2, 2, 99])
    assert attended(one[1:]) == [[0, 1]] * 3
    assert torch.equal(one, many)


def test_poison_beyond_the_actual_lengths_reaches_nothing() -> None:
    query, key, value = normal(1, 1, 4, 8), normal(1, 1, 6, 8), normal(1, 1, 6, 8)
    clean, _ = fias(query, key, value, actual_seq_lengths=[3], actual_seq_lengths_kv=[5])
    query[:, :, 3:], key[:, :, 5:], value[:, :, 5:] = math.nan, math.nan, math.inf
    out, lse = fias(query, key, value, actual_seq_lengths=[3], actual_seq_lengths_kv=[5])
    assert torch.equal(out, clean)
    assert not lse.isnan().any()


def test_the_layouts_say_the_same() -> None:
    query, key, value = normal(2, 6, 5, 8), normal(2, 3, 7, 8, seed=1), normal(2, 3, 7, 4, seed=2)
    out, lse = fias(query, key, value)
    by_length = [tensor.transpose(1, 2) for tensor in (query, key, value)]
    heads: dict[str, Any] = {"num_heads": 6, "num_key_value_heads": 3, "scale": 0.5, "softmax_lse_flag": True}
    split, split_lse = fused_infer_attention_score(*by_length, input_layout="BSND", **heads)
    flat, flat_lse = fused_infer_attention_score(*(t.flatten(2) for t in by_length), **heads)
    assert split.shape == (2, 5, 6, 4)
    assert flat.shape == (2, 5, 24)
    assert torch.equal(split.transpose(1, 2), out)
    assert torch.equal(flat, split.flatten(2))
    assert torch.equal(split_lse, lse)
    assert torch.equal(flat_lse, lse)


def test_a_query_head_reads_the_key_head_of_its_group() -> None:
    value = torch.tensor([10.0, 20.0]).reshape(1, 2, 1, 1)
    out, _ = fias(normal(1, 6, 2, 4), normal(1, 2, 1, 4), value)
    assert out[0, :, 0, 0].tolist() == [10, 10, 10, 20, 20, 20]


@pytest.mark.parametrize(
    ("given_dtype", "precision"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float32, torch.float64)],
)
def test_out_and_lse_come_one_precision_above(given_dtype: torch.dtype, precision: torch.dtype) -> None:
    inputs = [normal(1, 2, 3, 4, dtype=given_dtype)] * 3
    out, lse = fias(*inputs)
    exact, _ = fias(*(tensor.float() for tensor in inputs))
    assert (out.dtype, lse.dtype) == (precision, precision)
    assert lse.shape == (1, 2, 3, 1)
    torch.testing.assert_close(out.double(), exact, rtol=1e-6, atol=1e-6)


def test_without_the_flag_no_lse_is_returned() -> None:
    inputs = [normal(1, 1, 2, 4)] * 3
    out, lse = fias(*inputs, softmax_lse_flag=False)
    assert (lse.numel(), lse.dtype) == (1, torch.float32)
    assert torch.equal(out, fias(*inputs)[0])


def test_the_scale_is_one_unless_given() -> None:
    query, key, value = normal(1, 3, 4), normal(1, 3, 4, seed=1), normal(1, 3, 4, seed=2)
    _, lse = fused_infer_attention_score(query, key, value, softmax_lse_flag=True)
    expected = (query.double() @ key.double().mT).logsumexp(-1)
    torch.testing.assert_close(lse[0, 0, :, 0], expected[0])


@pytest.mark.parametrize("mode", [2, 3, 4])
def test_chunks_of_rows_join_without_a_seam(mode: int) -> None:
    length = 2 * CHUNK_ROWS + 3
    query, key, value = (normal(1, 1, length, 4, seed=seed) for seed in range(3))
    out, _ = fias(query, key, value, atten_mask=UPPER, sparse_mode=mode, pre_tokens=300, next_tokens=0)
    hidden = torch.ones(length, length).triu(1) + (torch.ones(length, length).tril(-301) if mode == 4 else 0)
    full, _ = fias(query, key, value, atten_mask=hidden.bool(), sparse_mode=1)
    torch.testing.assert_close(out, full)


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers how many elements the largest result of any operation has."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_no_step_holds_the_scores_of_all_rows() -> None:
    with LargestTensor() as largest:  # type: ignore[no-untyped-call]
        fias(*[normal(1, 2, 2 * CHUNK_ROWS, 4)] * 3)
    assert largest.elements == CHUNK_ROWS * 2 * CHUNK_ROWS


def test_nothing_is_recorded_for_a_gradient() -> None:
    inputs = [normal(1, 1, 3, 4).requires_grad_() for _ in range(3)]
    out, lse = fias(*inputs)
    assert not out.requires_grad
    assert not lse.requires_grad
