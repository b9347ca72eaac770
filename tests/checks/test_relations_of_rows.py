"""Hidden keys replaced, the last rows alone: right kernels agree with themselves, planted bugs do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from planted import BLOCKWISE, GROUPED_CAUSAL, GROUPED_TOP_LEFT, cell_of, claiming, named, record_of, relation_on
from torch import Tensor

from pytest_attn.checks.relations.rows import hidden_keys
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

HIDDEN = Case(150, 200, head_dim=16, query_heads=4, key_heads=2, batch=2, causal="bottom-right", oracle="hiddenkeys")
HIDDEN_BLOCKS = replace(HIDDEN, causal=None, block_shape=(32, 64), sparsity=0.5)
LAST = replace(HIDDEN, oracle="lastrow")


CLAIMED = {
    HIDDEN: GROUPED_CAUSAL,
    HIDDEN_BLOCKS: BLOCKWISE,
    replace(HIDDEN, causal="top-left"): GROUPED_TOP_LEFT,
    LAST: GROUPED_CAUSAL,
    replace(LAST, key_length=100): GROUPED_CAUSAL,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case, names in CLAIMED.items() for name in names], ids=named
)
def test_a_built_in_kernel_agrees_with_itself(name: str, case: Case, dtype: str) -> None:
    record = record_of(name, replace(case, dtype=dtype))
    assert record.outcome == "passed", record.reason


@pytest.mark.parametrize("case", CLAIMED, ids=named)
def test_no_other_built_in_kernel_claims_the_case(case: Case) -> None:
    assert claiming(case) == CLAIMED[case]


class OneKeyTooMany(TileLoop):
    """The causal diagonal is one key too far."""

    def diagonal(self, problem: Problem) -> int:
        return super().diagonal(problem) + 1


class FiniteSentinel(TileLoop):
    """What may not be attended to gets a logit of -5."""

    def hidden_logit(self) -> float:
        return -5.0

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return torch.zeros_like(key, dtype=torch.bool)


class AddsTheMask(TileLoop):
    """The mask is added to the logits: a large logit stays above it."""

    def mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        hidden = super().mask(problem, scores, lane, rows, keys).isneginf()
        beyond = self.beyond(problem, keys, torch.arange(keys.start, keys.start + self.key_tile))
        return (scores - 100.0 * hidden).masked_fill(beyond, -torch.inf)


class ListsTheNextBlock(TileLoop):
    """The block list is off by one column."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        columns = -(-problem.key_length // 64)
        return sorted((column + 1) % columns for column in super().block_list(problem, lane, rows))


class TopLeft(TileLoop):
    """The diagonal starts at the first key."""

    def diagonal(self, problem: Problem) -> int:
        return 0


class DecodesWithoutTheNewKey(TileLoop):
    """A single query does not see its own key."""

    def diagonal(self, problem: Problem) -> int:
        return super().diagonal(problem) - (problem.query_length == 1)


@pytest.mark.parametrize(
    ("kernel", "case", "says"),
    [
        (OneKeyTooMany, HIDDEN, "hidden keys replaced (first): out: "),
        (FiniteSentinel, HIDDEN, "hidden keys replaced (first): out: "),
        (AddsTheMask, HIDDEN, "hidden keys replaced (first): out: "),
        (ListsTheNextBlock, HIDDEN_BLOCKS, "hidden keys replaced (first): out: "),
        (TopLeft, replace(LAST, query_length=50), "the last query alone: out: row RMS"),
        (DecodesWithoutTheNewKey, LAST, "the last query alone: out: row RMS"),
    ],
)
def test_a_planted_bug_breaks_the_relation(kernel: type[TileLoop], case: Case, says: str) -> None:
    assert relation_on(kernel(), case).summary.startswith(says)


def test_hidden_keys_are_red_where_determinism_is_not_claimed() -> None:
    summary = relation_on(OneKeyTooMany(), HIDDEN, deterministic=False).summary
    assert summary.startswith("hidden keys replaced (first): out: row RMS")


@pytest.mark.parametrize("case", [HIDDEN, HIDDEN_BLOCKS], ids=lambda case: case.id)
def test_the_rows_that_must_not_change_attend_to_nothing_that_did(case: Case) -> None:
    subject = cell_of(TileLoop(), case).subject
    problem, before = subject.problem, subject.inputs
    for change in hidden_keys(subject):
        changed = (change.inputs.key != before.key).any(dim=3)
        assert bool(changed.any())
        assert bool(change.rows.any())
        for batch in range(problem.batch):
            for head in range(problem.query_heads):
                rows, keys = range(problem.query_length), range(problem.key_length)
                allowed = problem.mask.allowed(problem.lengths, batch, head, rows, keys)
                reads = (allowed & changed[batch, head // problem.group]).any(dim=1)
                assert torch.equal(change.rows[batch, head], ~reads)


def test_a_kernel_for_square_problems_is_not_claimed_for_the_last_row() -> None:
    skipped = cell_of(TileLoop(), replace(LAST, key_length=150), cross_attention=False).skipped()
    assert skipped is not None
    assert skipped.reason == "not claimed: cross_attention"
