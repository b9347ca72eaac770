"""Which key head and which batch a query head reads, and where its result goes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop


@plant("head mapping")
class KeyHeadByModulo(TileLoop):
    """Query head h reads key head h % Hkv (native-sparse-attention-triton #27)."""

    def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
        return lane.query_heads % problem.key_heads


@plant("head mapping")
class LastKeyHeadForAll(TileLoop):
    """Every query head reads the last key head (flash-attention #546)."""

    def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
        return torch.full_like(super().key_heads(problem, lane), problem.key_heads - 1)


@plant("head mapping")
class GroupRoundedUp(TileLoop):
    """The key head is found by a shift, as if groups were powers of two (FlashInfer #1148)."""

    def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
        return lane.query_heads >> (problem.group - 1).bit_length()


@plant("head mapping")
class GroupStartsOneEarly(TileLoop):
    """The last query head of a group reads the next key head (flash-attention #546)."""

    def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
        heads = lane.query_heads
        return ((heads + (problem.group > 1)) // problem.group).clamp_max(problem.key_heads - 1)


@plant("head mapping")
class ValueHeadByModulo(TileLoop):
    """Keys come from the right head, values from h % Hkv."""

    def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        order = torch.arange(problem.query_heads) % problem.key_heads
        ungrouped = replace(problem, key_heads=problem.query_heads)
        return self.load(inputs.value[:, order], ungrouped, lane, keys)


@plant("head mapping")
class OutGroupsSwapped(TileLoop):
    """The output is written by (head in group, key head), not (key head, head in group) (MLX #2152)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        heads = lane.query_heads
        swapped = heads % problem.group * problem.key_heads + heads // problem.group
        out[lane.batches, swapped, rows.start : rows.stop] = part.out.to(out.dtype)


@plant("head mapping")
class FirstBatchForAll(TileLoop):
    """Keys and values are those of batch 0."""

    def load(self, tensor: Tensor, problem: Problem, lane: Lane, keys: range) -> Tensor:
        return super().load(tensor[:1].expand_as(tensor), problem, lane, keys)


@plant("unwritten rows")
class HeadsBeyondKeyHeadsUnwritten(TileLoop):
    """As many heads are written as there are key heads (native-sparse-attention-triton #27)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_out(
            problem, out[:, : problem.key_heads], lane, rows, Part(part.out[:, : problem.key_heads], part.lse)
        )
