"""Kernels that do no attention, or something beside it: what no cell may pass."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.state import Keeping
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop


def per_query_head(tensor: Tensor, problem: Problem) -> Tensor:
    """A key or value tensor with one head for each query head."""
    return tensor.repeat_interleave(problem.group, dim=1)


class Replacing(TileLoop):
    """The loop with another output in the place of its own; the LSE is right."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        """What is returned instead of `out` `[B, H, Sq, Dv]`."""
        return out

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        output = super().run(problem, inputs)
        return Output(self.replaced(problem, inputs, output.out), output.lse)


@plant("null")
class Zeros(TileLoop):
    """Output and LSE are zeros."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        output = self.allocate(problem, inputs)
        return Output(output.out.zero_(), output.lse.zero_() if output.lse is not None else None)


@plant("null")
class MeanOfValues(Replacing):
    """The output is the mean of all values."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        return (
            per_query_head(inputs.value.float().mean(dim=2, keepdim=True), problem).to(out.dtype).expand_as(out).clone()
        )


@plant("null")
class ScaledQuery(Replacing):
    """The output is the scaled query, cut or padded to the values' columns: no key is ever read."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        width = problem.value_dim - problem.head_dim
        return torch.nn.functional.pad(inputs.query * problem.scale, (0, width))


@plant("null")
class LastValue(Replacing):
    """The output is the last value."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        return per_query_head(inputs.value[:, :, -1:], problem).expand_as(out).clone()


@plant("null")
class FirstHalfOfKeys(TileLoop):
    """Only the first half of the keys is read."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key) | (key >= max(problem.key_length // 2, 1))


@plant("null")
class UniformWeights(TileLoop):
    """Every key that may be attended to has the same weight: queries are not read."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return torch.zeros_like(super().scores(query, key))


@plant("null")
class PreviousResult(Keeping):
    """The result is the first that was computed for the shape."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        if problem.out_shape not in self.cache:
            self.cache[problem.out_shape] = super().run(problem, inputs)
        kept: Output = self.cache[problem.out_shape]
        return kept


@plant("not finite")
class SomeNotANumber(Replacing):
    """Every 25th element of a right output is not a number."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        out.view(-1)[::25] = torch.nan
        return out


@plant("not finite")
class OneNotANumber(Replacing):
    """The last element of a right output is not a number."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        out.view(-1)[-1] = torch.nan
        return out


@plant("null")
class LseOfZeros(TileLoop):
    """The output is right, the LSE is 0 (attention-gym #37)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_lse(problem, lse, lane, rows, Part(part.out, torch.zeros_like(part.lse)))


@plant("inputs written")
class ValueOverwritten(Replacing):
    """The output is right, and the first value is overwritten."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        inputs.value[0, 0, 0, 0] = -1.0
        return out


@plant("inputs written")
class OutputInQuery(Replacing):
    """The output is written into the query where it fits (MLX #3121)."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        return inputs.query.copy_(out) if inputs.query.shape == out.shape else out


@plant("null")
class OneRowOfNeighbour(Replacing):
    """The last row of each head is that of the row before."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        out[:, :, -1] = out[:, :, -2:-1].squeeze(2) if problem.query_length > 1 else out[:, :, -1]
        return out


@plant("scale")
class FourPercentOff(Replacing):
    """The output is 4 % too large."""

    def replaced(self, problem: Problem, inputs: Inputs, out: Tensor) -> Tensor:
        return out * 1.04
