"""Where elements lie in memory."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.memory import contiguous_strides, reread
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop


@plant("strides")
class ValueReadWithKeyStrides(TileLoop):
    """Values are addressed with the strides of the keys (MLX #1558, CANN !9022)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        value = reread(inputs.value, inputs.value.shape, inputs.key.stride())
        return super().run(problem, replace(inputs, value=value))


@plant("strides")
class KeyReadWithQueryRows(TileLoop):
    """Keys are addressed with the row stride of the queries (flash-attention 9ee0ff1d)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        batch, head, _, column = inputs.key.stride()
        key = reread(inputs.key, inputs.key.shape, (batch, head, inputs.query.stride(2), column))
        return super().run(problem, replace(inputs, key=key))


@plant("strides")
class QueryTakenForContiguous(TileLoop):
    """Queries are addressed as if they were contiguous (flash-attention #2545)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        query = reread(inputs.query, inputs.query.shape, contiguous_strides(inputs.query.shape))
        return super().run(problem, replace(inputs, query=query))


@plant("strides")
class KeyTakenForContiguous(TileLoop):
    """Keys are addressed as if they were contiguous (vLLM Ascend #11790)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        key = reread(inputs.key, inputs.key.shape, contiguous_strides(inputs.key.shape))
        return super().run(problem, replace(inputs, key=key))


@plant("strides")
class ValueRowsTakenForPacked(TileLoop):
    """The rows of the values are taken to follow each other without a gap (FlashInfer #2844)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        batch, head, _, column = inputs.value.stride()
        value = reread(inputs.value, inputs.value.shape, (batch, head, problem.value_dim, column))
        return super().run(problem, replace(inputs, value=value))


@plant("strides")
class OutRowsBeforeHeads(TileLoop):
    """The output is addressed as `[B, Sq, H, Dv]` (FlashInfer #1865)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        other = out.view(problem.batch, problem.query_length, problem.query_heads, problem.value_dim)
        super().store_out(problem, other.transpose(1, 2), lane, rows, part)
