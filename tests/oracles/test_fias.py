"""The model of npu_fused_infer_attention_score, against predicates and sums written pair by pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_attn.oracles.fias import CHUNK_ROWS, fused_infer_attention_score

UPPER = torch.ones(2048, 2048, dtype=torch.bool).triu(1)
LOWEST = torch.finfo(torch.float32).min


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these small problems, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def fias(query: Tensor, key: Tensor, value: Tensor, **arguments: Any) -> tuple[Tensor, Tensor]:
    """The model on BNSD tensors, with the head counts of the shapes and the LSE asked for."""
    usual: dict[str, Any] = {"input_layout": "BNSD", "softmax_lse_flag": True, "scale": 0.5}
    usual |= {"num_heads": query.shape[1], "num_key_value_heads": key.shape[1]}
    return fused_infer_attention_score(query, key, value, **(usual | arguments))


def ramp(query_length: int, key_length: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Zero logits and one-hot values: out[i, j] is 1 / count where row i attends to key j, else 0."""
    query = torch.zeros(batch, 1, query_length, 4)
    value = torch.eye(key_length).expand(batch, 1, -1, -1)
    return query, torch.zeros(batch, 1, key_length, 4), value


def attended(out: Tensor) -> list[list[int]]:
    """The keys that each row of the first head attends to, where the inputs are a ramp."""
    return [row.nonzero().flatten().tolist() for row in out[0, 0]]


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


# Rows without keys.


def test_rows_beyond_the_actual_length_are_zero_with_lse_plus_infinity() -> None:
    out, lse = fias(*ramp(3, 2), actual_seq_lengths=[1])
    assert attended(out) == [[0, 1], [], []]
    assert lse.flatten().tolist() == pytest.approx([math.log(2), math.inf, math.inf])


@pytest.mark.parametrize("precise", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", [3, 4])
def test_rows_above_the_diagonal_are_zero_with_lse_plus_infinity(mode: int, precise: int) -> None:
    arguments: dict[str, Any] = {"sparse_mode": mode, "next_tokens": 0, "inner_precise": precise}
    out, lse = fias(*ramp(4, 2), atten_mask=UPPER, **arguments)
    assert attended(out) == [[], [], [0], [0, 1]]
    assert lse.flatten().tolist() == pytest.approx([math.inf, math.inf, 0, math.log(2)])


def test_rows_outside_the_band_of_mode_0_are_zero_with_lse_plus_infinity() -> None:
    mask = torch.zeros(5, 2, dtype=torch.bool)
    out, lse = fias(*ramp(5, 2), atten_mask=mask, pre_tokens=1)
    assert attended(out) == [[0, 1], [0, 1], [1], [], []]
    assert lse.flatten()[3:].tolist() == [math.inf] * 2


@pytest.mark.parametrize("precise", [2, 3])
@pytest.mark.parametrize("mode", [0, 1])
def test_a_corrected_row_that_the_mask_empties_is_zero(mode: int, precise: int) -> None:
    mask = torch.tensor([[1, 1, 1], [1, 0, 1]]).bool()
    out, lse = fias(*ramp(2, 3), atten_mask=mask, sparse_mode=mode, inner_precise=precise)
    assert attended(out) == [[], [1]]
    assert lse.flatten().tolist() == [math.inf, 0]


@pytest.mark.parametrize("precise", [0, 1])
@pytest.mark.parametrize("mode", [0, 1])
def test_an_uncorrected_row_that_the_mask_empties_is_the_mean_of_value(mode: int, precise: int) -> None:
    value = normal(1, 1, 5, 4)
    mask = torch.ones(2, 5, dtype=torch.bool)
    arguments: dict[str, Any] = {"atten_mask": mask, "sparse_mode": mode, "inner_precise": precise}
    out, lse = fias(normal(1, 1, 2, 4), normal(1, 1, 5, 4), value, actual_seq_lengths_kv=[3], **arguments)
    torch.testing.assert_close(out[0, 0], value[0, 0, :3].double().mean(0).expand(2, -1))
    assert lse.flatten().tolist() == [LOWEST, LOWEST]


def test_the_mean_of_an_uncorrected_row_is_over_the_keys_of_its_band() -> None:
    mask = torch.ones(3, 5, dtype=torch.bool)
    out, _ = fias(*ramp(3, 5), atten_mask=mask, pre_tokens=0, next_tokens=1)
    assert attended(out) == [[0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("given_dtype", "precise", "score"),
    [(torch.float16, 1, -65504.0), (torch.float16, 0, LOWEST), (torch.bfloat16, 1, LOWEST)],
)
def test_only_high_performance_float16_masks_with_its_own_lowest(
    given_dtype: torch.dtype, precise: int, score: float
) -> None:
    inputs = [normal(1, 1, 4, 4, dtype=given_dtype)] * 3
    mask = torch.ones(4, 4, dtype=torch.bool)
    _, lse = fias(*inputs, atten_mask=mask, sparse_mode=1, inner_precise=precise)
    assert lse.flatten().tolist() == pytest.approx([score + math.log(4)] * 4, rel=1e-7)


def test_a_fully_masked_decoding_row_is_the_mean_of_value_with_lse_near_minus_1e12() -> None:
    out, lse = fias(*ramp(1, 4), atten_mask=torch.ones(1, 1, 1, 4).bool(), actual_seq_lengths_kv=[2])
    assert out.flatten().tolist() == [0.5, 0.5, 0, 0]
    assert lse.item() == pytest.approx(-1e12)
    assert lse.item() > LOWEST


@pytest.mark.parametrize("precise", [0, 1])
def test_a_decoding_row_of_no_actual_keys_is_zero_with_the_lowest_float32(precise: int) -> None:
    out, lse = fias(*ramp(1, 4), actual_seq_lengths_kv=[0], inner_precise=precise)
    assert not out.any()
    assert lse.item() == LOWEST


@pytest.mark.parametrize(("query_length", "weight"), [(1, LOWEST), (3, math.inf)])
def test_a_key_of_zero_length_gives_zero(query_length: int, weight: float) -> None:
    out, lse = fias(normal(1, 1, query_length, 4), torch.empty(1, 1, 0, 4), torch.empty(1, 1, 0, 4))
    assert torch.equal(out, torch.zeros(1, 1, query_length, 4))
    assert lse.flatten().tolist() == [weight] * query_length


# Masks and the decoding path.


@pytest.mark.parametrize("leading", [(), (1,), (2,), (1, 1), (2, 1)])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int8, torch.uint8])
def test_a_full_mask_has_three_forms_of_any_size(leading: tuple[int, ...], mask_dtype: torch.dtype) -> None:
    mask = torch.ones(*leading, 8, 9).to(mask_dtype)
    mask[..., 1:4:2] = 0
    out, _ = fias(*ramp(3, 5, batch=2), atten_mask=mask)
    assert attended(out) == attended(out[1:]) == [[1, 3]] * 3


def test_each_batch_has_its_own_mask() -> None:
    mask = torch.stack([torch.zeros(2, 3), torch.ones(2, 3).triu(1)]).bool()
    for form in (mask, mask[:, None]):
        out, _ = fias(*ramp(2, 3, batch=2), atten_mask=form, sparse_mode=1)
        assert attended(out) == [[0, 1, 2]] * 2
        assert attended(out[1:]) == [[0], [0, 1]]


@pytest.mark.parametrize("form", [(2, 6), (2, 1, 6), (2, 1, 1, 6)])
def test_a_decoding_mask_is_one_row_per_batch(form: tuple[int, ...]) -> None:
    mask = torch.tensor([[0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]]).bool().reshape(form)
    out, _ = fias(*ramp(1, 4, batch=2), atten_mask=mask)
    assert attended(out) == [[0, 3]]
    assert attended(out[1:]) == [[2, 3]]


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4])
def test_decoding_ignores_the_mode_the_band_and_the_query_lengths(mode: int) -> None:
    ignored: dict[str, Any] = {
        "sparse_mode": mode,
        "pre_tokens": -3,
        "next_tokens": -3,
        "actual_seq_lengths": [0],
    }
    mask = torch.tensor([[0, 0, 1, 0]]).bool()
    assert attended(fias(*ramp(1, 4), **ignored)[0]) == [[0, 1, 2, 3]]
    assert attended(fias(*ramp(1, 4), atten_mask=mask, **ignored)[0]) == [[0, 1, 3]]


@pytest.mark.parametrize("leading", [(), (1,), (1, 1)])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int8, torch.uint8])
def test_a_compressed_mask_may_have_leading_ones(leading: tuple[int, ...], mask_dtype: torch.dtype) -> None:
    out, _ = fias(*ramp(2, 2), atten_mask=UPPER.to(mask_dtype).reshape(*leading, 2048, 2048), sparse_mode=3)
    assert attended(out) == [[0], [0, 1]]


def test_the_inputs_are_left_as_they_were() -> None:
    given = [normal(1, 1, 3, 4, dtype=torch.float32) for _ in range(3)]
    mask = torch.ones(3, 3, dtype=torch.bool).triu(1)
    before = [tensor.clone() for tensor in (*given, mask)]
    fias(*given, atten_mask=mask, sparse_mode=1)
    assert all(torch.equal(was, now) for was, now in zip(before, (*given, mask), strict=True))


# Refusals.


Refusal = tuple[dict[str, Any], str]


def open_mask(*shape: int) -> dict[str, Any]:
    return {"atten_mask": torch.zeros(shape, dtype=torch.bool)}


MASKS: dict[str, Refusal] = {
    "none for mode 1": ({"sparse_mode": 1}, "atten_mask is None, .* a tensor where sparse_mode is 1"),
    "none for mode 3": ({"sparse_mode": 3}, "atten_mask is None, .* a tensor where sparse_mode is 3"),
    "full for mode 3": (open_mask(4, 6) | {"sparse_mode": 3}, r"shape is \(4, 6\), .* \(2048, 2048\)"),
    "2049 x 2049 for mode 4": (open_mask(2049, 2049) | {"sparse_mode": 4}, r"shape is \(2049, 2049\)"),
    "compressed per batch": (
        open_mask(2, 1, 2048, 2048) | {"sparse_mode": 2},
        r"shape is \(2, 1, 2048, 2048\)",
    ),
    "lower triangle": (
        {"sparse_mode": 3, "atten_mask": ~UPPER},
        "atten_mask's contents is something else, .* non-zero strictly above the diagonal",
    ),
    "3 rows": (open_mask(3, 6), "atten_mask's shape .* Q at least 4 and K at least 6"),
    "5 keys": (open_mask(4, 5), "atten_mask's shape .* Q at least 4 and K at least 6"),
    "3 batches": (open_mask(3, 4, 6), "atten_mask's shape .* b 1 or 2"),
    "1 dimension": (open_mask(6), r"atten_mask's shape is \(6,\)"),
    "5 dimensions": (open_mask(1, 1, 1, 4, 6), r"atten_mask's shape is \(1, 1, 1, 4, 6\)"),
    "floats": ({"atten_mask": torch.zeros(4, 6)}, "atten_mask's dtype is torch.float32, .* torch.bool"),
}

MODES: dict[str, Refusal] = {
    "inner_precise 4": ({"inner_precise": 4}, "inner_precise is 4, but must be one of 0, 1, 2, 3"),
    "two negative sides": (
        {"sparse_mode": 4, "atten_mask": UPPER, "pre_tokens": -1, "next_tokens": -1},
        "next_tokens is -1 where pre_tokens is -1, but must be at least -pre_tokens",
    ),
    "no diagonal": (
        open_mask(4, 6) | {"pre_tokens": 2, "next_tokens": -3},
        "next_tokens is -3 where pre_tokens is 2, but must be at least -pre_tokens",
    ),
}

SHAPES: dict[str, Refusal] = {
    "TND": ({"input_layout": "TND"}, "input_layout is 'TND', but must be one of BNSD, BSND, BSH"),
    "BSH of 4 dimensions": ({"input_layout": "BSH"}, "query's shape is .* of 3 dimensions, as BSH says"),
    "BNSD as BSND": ({"input_layout": "BSND", "num_heads": 2}, "query's shape .* BSND with 2 heads"),
    "no heads": ({"num_heads": 0}, "num_heads is 0, but must be at least 1"),
    "3 key heads for 4": ({"num_key_value_heads": 3}, "heads is 3, .* a divisor of num_heads, 4"),
    "-2 key heads": ({"num_key_value_heads": -2}, "num_key_value_heads is -2, .* a divisor of num_heads"),
    "a group of 65": ({"num_heads": 130}, "num_key_value_heads is 2, .* at least num_heads / 64"),
    "8 heads of 4": ({"num_heads": 8}, "query's shape .* BNSD with 8 heads"),
    "4 key heads of 2": ({"num_key_value_heads": 4}, "key's shape .* BNSD with 4 heads"),
    "no lengths": ({"actual_seq_lengths": []}, "length of actual_seq_lengths is 0, .* batch size, 2"),
    "a query length of 5": ({"actual_seq_lengths": [5]}, r"lengths is \[5\], .* from 0 to 4"),
    "a key length of 7": ({"actual_seq_lengths_kv": [1, 7]}, r"lengths_kv is \[1, 7\], .* from 0 to 6"),
    "a key length of -1": ({"actual_seq_lengths_kv": [-1]}, r"lengths_kv is \[-1\], .* from 0 to 6"),
}

TENSORS: dict[str, Refusal] = {
    "int8": ({"query": torch.zeros(2, 4, 4, 8, dtype=torch.int8)}, "query's dtype is torch.int8"),
    "key dtype": ({"key": normal(2, 2, 6, 8).half()}, "key's dtype is torch.float16, .* query's"),
    "value dtype": ({"value": normal(2, 2, 6, 8).half()}, "value's dtype is torch.float16, .* query's"),
    "key D": ({"key": normal(2, 2, 6, 4)}, "key's head dimension D is 4, but must be query's, 8"),
    "key batch": ({"key": normal(3, 2, 6, 8)}, "key's batch size is 3, but must be query's, 2"),
    "value batch": ({"value": normal(1, 2, 6, 8)}, "value's batch size is 1, but must be key's, 2"),
    "value length": ({"value": normal(2, 2, 5, 8)}, "value's length is 5, but must be key's, 6"),
    "value heads": ({"value": normal(2, 4, 6, 8)}, "value's shape .* BNSD with 2 heads"),
}

DECODING: dict[str, Refusal] = {
    "compressed": (open_mask(2048, 2048) | {"sparse_mode": 3}, r"\(2048, 2048\), .* query length is 1"),
    "one for two batches": (open_mask(1, 6), r"atten_mask's shape is \(1, 6\), .* \(2, K\)"),
    "4 rows": (open_mask(2, 4, 6), r"atten_mask's shape is \(2, 4, 6\)"),
    "5 keys": (open_mask(2, 5), r"atten_mask's shape is \(2, 5\), .* K at least 6"),
    "per head": (open_mask(2, 4, 1, 6), r"atten_mask's shape is \(2, 4, 1, 6\)"),
    "corrected": ({"inner_precise": 2}, "inner_precise is 2, but must be 0 or 1 where the query length is 1"),
}


def refuse(query_length: int, refusal: Refusal) -> None:
    """Asserts that a call is fine, and refused in one sentence of these words with these arguments put in."""
    arguments, words = refusal
    tensors = {"query": normal(2, 4, query_length, 8), "key": normal(2, 2, 6, 8), "value": normal(2, 2, 6, 8)}
    fine: dict[str, Any] = tensors | {"num_heads": 4, "num_key_value_heads": 2, "input_layout": "BNSD"}
    fused_infer_attention_score(**fine)
    with pytest.raises(ValueError, match=words) as refused:
        fused_infer_attention_score(**(fine | arguments))
    assert str(refused.value).count(", but must be ") == 1


@pytest.mark.parametrize("refusal", MASKS.values(), ids=MASKS)
def test_a_wrong_mask_is_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("mode", [0, 1])
def test_a_per_head_mask_is_refused(mode: int) -> None:
    per_head = open_mask(2, 4, 4, 6) | {"sparse_mode": mode}
    refuse(4, (per_head, "atten_mask's head dimension is 4, but must be 1"))


@pytest.mark.parametrize("mode", [-1, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("query_length", [1, 4])
def test_a_mode_beyond_4_is_refused(query_length: int, mode: int) -> None:
    refuse(query_length, ({"sparse_mode": mode}, f"sparse_mode is {mode}, but must be one of 0, 1, 2, 3, 4"))


@pytest.mark.parametrize("refusal", MODES.values(), ids=MODES)
def test_a_wrong_band_or_precision_is_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("refusal", SHAPES.values(), ids=SHAPES)
def test_a_layout_heads_or_lengths_that_disagree_with_the_shapes_are_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("refusal", TENSORS.values(), ids=TENSORS)
def test_tensors_that_disagree_with_each_other_are_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("refusal", DECODING.values(), ids=DECODING)
def test_what_a_single_query_cannot_take_is_refused(refusal: Refusal) -> None:
    refuse(1, refusal)


def test_a_flat_layout_that_its_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"query's shape is \(1, 2, 10\), but must be BSH with 4 heads"):
        fused_infer_attention_score(*[normal(1, 2, 10)] * 3, num_heads=4)
