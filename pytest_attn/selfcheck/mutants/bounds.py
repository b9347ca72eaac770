"""Memory that is none of the kernel's business: beyond its tensors, or the caller's inputs."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pytest_attn.kernels.kernel import Output, PreparedRun
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.memory import reread
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop


class Filling(TileLoop):
    """The loop as an out variant: it fills tensors that lie in its caller's memory."""

    capabilities = replace(TileLoop.capabilities, out_variant=True)

    def prepare(self, problem: Problem, inputs: Inputs, output: Output | None = None) -> PreparedRun:
        """A run that fills `output`."""
        self.output = output or super().allocate(problem, inputs)
        return super().prepare(problem, inputs)

    def allocate(self, problem: Problem, inputs: Inputs) -> Output:
        """The memory that was given."""
        return self.output


def _around(tensor: Tensor, first: int, count: int) -> Tensor:
    """`count` elements of the memory of a contiguous tensor, from `first` on, counted from its own first."""
    return tensor.as_strided((count,), (1,), tensor.storage_offset() + first)


@plant("out of bounds")
class ValueReadBeyond(TileLoop):
    """A value row beyond the last key is read as it lies there: 0 * NaN is NaN (FlashInfer #1029)."""

    def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        longer = (*inputs.value.shape[:2], problem.key_length + 1, problem.value_dim)
        return self.load(reread(inputs.value, longer, inputs.value.stride()), problem, lane, keys)


@plant("out of bounds")
class OutWrittenBeyond(Filling):
    """One element past the output is written (flash-attention #1155)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_out(problem, out, lane, rows, part)
        _around(out, out.numel(), 1).fill_(0.0)


@plant("out of bounds")
class OutWrittenBefore(Filling):
    """A padding index of -1 writes the element before the output (flash-attention #2755)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_out(problem, out, lane, rows, part)
        _around(out, -1, 1).fill_(0.0)


@plant("out of bounds")
class LseWrittenAsWholeTile(Filling):
    """The LSE of a last partial tile of queries is written for a whole tile (xFormers #391)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        _around(lse, lse.numel(), self.query_tile - len(rows)).fill_(0.0)
        super().store_lse(problem, lse, lane, rows, part)


@plant("inputs written")
class KeyMeanSubtractedInPlace(TileLoop):
    """The mean of the keys is subtracted in the caller's tensor (SageAttention e1cac2f)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        inputs.key.sub_(inputs.key.mean(dim=2, keepdim=True))
        return super().run(problem, inputs)


@plant("inputs written")
class QueryScaledInPlace(TileLoop):
    """The scale is multiplied into the caller's query."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        inputs.query.mul_(problem.scale)
        return super().run(replace(problem, scale=1.0), inputs)


@plant("inputs written")
class TailOfKeysCleared(TileLoop):
    """The row behind the keys is cleared in the caller's memory, for the tail to read zeros."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        last = inputs.key[-1, -1, -1]
        last.as_strided((problem.head_dim,), (1,), last.storage_offset() + problem.head_dim).zero_()
        return super().run(problem, inputs)
