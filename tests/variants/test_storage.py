"""Tensors in another form than `[B, H, S, D]`: what the kernel is given, and where its results belong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.execution.session import Session
from pytest_attn.kernels.builtin.eager import eager
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Packed, Paged, Sinks
from pytest_attn.problem.variants.cu_seqlens import Packed as PackedVariant
from pytest_attn.problem.vocabulary import Layout

PACKED = Problem.of(Case(65, 129, head_dim=8, value_dim=4, batch=6, query_heads=2, key_heads=1, variants=(Packed(),)))
PAGED = Problem.of(Case(5, 70, head_dim=8, value_dim=4, batch=6, query_heads=2, key_heads=1, variants=(Paged(16),)))


def test_packed_sequences_stand_one_behind_the_other() -> None:
    inputs = Inputs.draw(PACKED, 1)
    given = inputs.stored()
    ends = given.extras["cu_seqlens_k"].tolist()
    assert given.key.shape == (ends[-1], 1, 8)
    assert given.value.shape == (ends[-1], 1, 4)
    for batch in range(6):
        start, stop = ends[batch], ends[batch + 1]
        assert torch.equal(given.key[start:stop, 0], inputs.key[batch, 0, : stop - start])


def test_some_packed_sequences_have_no_keys_and_some_no_queries() -> None:
    extras = Inputs.draw(PACKED, 1).extras
    queries, keys = extras["cu_seqlens_q"].diff(), extras["cu_seqlens_k"].diff()
    assert bool(((queries == 0) & (keys > 0)).any())
    assert bool(((queries > 0) & (keys == 0)).any())


def test_sequences_of_self_attention_have_as_many_queries_as_keys() -> None:
    lengths = Packed().lengths(Case(64, 64, batch=8))
    assert [queries for queries, _ in lengths] == [keys for _, keys in lengths]


def test_a_packed_result_is_put_where_its_sequence_is() -> None:
    out_shape, lse_shape = PACKED.stored_shapes
    ends = Inputs.draw(PACKED, 1).extras["cu_seqlens_q"].tolist()
    assert (out_shape, lse_shape) == ((ends[-1], 2, 4), (2, ends[-1]))
    stored = torch.arange(1.0, ends[-1] + 1)
    out, lse = torch.zeros(PACKED.out_shape), torch.zeros(PACKED.lse_shape)
    variant = PACKED.storage
    assert isinstance(variant, PackedVariant)
    variant.restore(PACKED, stored.view(-1, 1, 1).expand(out_shape), out)
    variant.restore(PACKED, stored.expand(lse_shape), lse)
    for batch in range(6):
        expected = torch.zeros(65)
        expected[: ends[batch + 1] - ends[batch]] = stored[ends[batch] : ends[batch + 1]]
        assert torch.equal(out[batch, 1, :, 3], expected)
        assert torch.equal(lse[batch, 1], expected)


def test_a_packed_gradient_of_keys_is_put_where_their_sequence_is() -> None:
    ends = Inputs.draw(PACKED, 1).extras["cu_seqlens_k"].tolist()
    stored, into = torch.arange(1.0, ends[-1] + 1), torch.zeros(6, 1, 129, 4)
    assert PACKED.storage is not None
    PACKED.storage.restore(PACKED, stored.view(-1, 1, 1).expand(-1, 1, 4), into, "key")
    for batch in range(6):
        expected = torch.zeros(129)
        expected[: ends[batch + 1] - ends[batch]] = stored[ends[batch] : ends[batch + 1]]
        assert torch.equal(into[batch, 0, :, 3], expected)


def test_a_packed_gradient_of_the_output_stands_as_the_output_does() -> None:
    problem = replace(PACKED, ask="grad")
    inputs = Inputs.draw(problem, 1)
    given = inputs.stored()
    assert inputs.grad_out is not None
    assert given.grad_out is not None
    into = torch.zeros(problem.out_shape)
    assert problem.storage is not None
    problem.storage.restore(problem, given.grad_out, into)
    for batch in range(6):
        length = problem.lengths_of(batch).query
        assert torch.equal(into[batch, :, :length], inputs.grad_out[batch, :, :length].float())


@pytest.mark.parametrize("poisoned", [False, True])
def test_a_page_holds_the_keys_that_the_table_says_and_nothing_else(poisoned: bool) -> None:
    inputs = Inputs.draw(PAGED, 1)
    given = GuardedInputs.of(inputs, poisoned=poisoned).inputs
    table, lengths = given.extras["block_table"], given.extras["cache_seqlens"].tolist()
    needed = [page for batch, row in enumerate(table.tolist()) for page in row[: -(-lengths[batch] // 16)]]
    assert len(set(needed)) == len(needed)
    assert needed != sorted(needed)
    assert lengths[0] % 16 != 0
    unread = torch.ones(given.key.shape[:2], dtype=torch.bool)
    for batch, length in enumerate(lengths):
        for j in range(length):
            page = int(table[batch, j // 16])
            assert torch.equal(given.key[page, j % 16, 0], inputs.key[batch, 0, j])
            unread[page, j % 16] = False
    assert len(set(range(len(given.key))) - set(needed)) == 3
    assert bool(given.key[unread].isnan().all()) == poisoned
    assert not given.key[~unread].isnan().any()


def test_entries_of_the_table_beyond_a_sequence_name_a_page_that_none_has() -> None:
    given = Inputs.draw(PAGED, 1).stored()
    table, lengths = given.extras["block_table"], given.extras["cache_seqlens"]
    needed = torch.arange(table.shape[1]) * 16 < lengths.unsqueeze(1)
    assert not set(table[needed].tolist()) & set(table[~needed].tolist())
    assert int(table.min()) >= 0
    assert int(table.max()) < len(given.key)


def test_an_out_variant_fills_packed_buffers() -> None:
    class Filling:
        def prepare(self, problem: Problem, inputs: Inputs, output: Output) -> object:
            run = eager.prepare(problem, inputs)

            def fill() -> None:
                out, lse = run()
                output.out.copy_(out)
                assert output.lse is not None
                output.lse.copy_(lse)

            return fill

    claims = replace(eager.capabilities, out_variant=True)
    kernel = Kernel("filling", Filling(), claims, eager.numerics)  # type: ignore[arg-type]
    case = Case(65, 129, head_dim=8, batch=6, causal="bottom-right", variants=(Packed(), Sinks()))
    record = Session(Options()).cell(kernel, case).record()
    assert (record.outcome, record.reason) == ("passed", "")


def test_bsnd_is_the_memory_of_b_s_h_d() -> None:
    inputs = Inputs.draw(Problem.of(Case(5, 7, head_dim=8, batch=2, query_heads=3)), 1)
    layout: Layout = "bsnd"
    key = GuardedInputs.of(inputs, layout).inputs.key
    assert torch.equal(key, inputs.key)
    assert key.transpose(1, 2).is_contiguous()
