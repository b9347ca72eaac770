"""Bugs of the backward pass alone, of windows, padded and packed batches."""

from __future__ import annotations

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import WindowSize
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.variant_backward_loop import VariantBackwardLoop
from pytest_attn.selfcheck.mutants.variant_loop import Side


@plant("window")
class WindowForgottenBackward(VariantBackwardLoop):
    """The gradients are those of tiles that the window crosses, without the window."""

    def backward_window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return None, None


@plant("window")
class WindowOneTooFarBackward(VariantBackwardLoop):
    """The gradients are those of one key more on the left."""

    def backward_window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        left, right = super().backward_window(problem, size)
        return None if left is None else left + 1, right


@plant("window")
class WindowTilesOfLastRowBackward(VariantBackwardLoop):
    """The first key tile of a tile of queries is that of its last row."""

    def backward_key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
        return self.tiles_between(self.key_start(problem, rows[-1:]), self.key_stop(problem, rows))


@plant("leaked keys")
class PaddingAttendedBackward(VariantBackwardLoop):
    """The gradients are those of a sequence as long as the tensors have room for."""

    def backward_keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        keys = super().backward_keys(problem, inputs, batch)
        return range(problem.key_length) if "seqused_k" in inputs.extras else keys


@plant("tail")
class LengthOfFirstBatchBackward(VariantBackwardLoop):
    """The gradients of every sequence are those of as many keys as the first has."""

    def backward_keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        keys = super().backward_keys(problem, inputs, batch)
        return super().backward_keys(problem, inputs, 0) if "seqused_k" in inputs.extras else keys


@plant("lost keys")
class LastPackedKeyLeftOutBackward(VariantBackwardLoop):
    """The last key of a packed sequence has no gradient."""

    def backward_keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        keys = super().backward_keys(problem, inputs, batch)
        return keys[:-1] if "cu_seqlens_k" in inputs.extras else keys


@plant("lost keys")
class LastPackedQueryLeftOutBackward(VariantBackwardLoop):
    """The last query of a packed sequence adds to no gradient, and has none."""

    def backward_queries(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        queries = super().backward_queries(problem, inputs, batch)
        return queries[:-1] if "cu_seqlens_q" in inputs.extras else queries


@plant("lse order")
class ForwardOfPaddedPlace(VariantBackwardLoop):
    """Output and LSE of a packed sequence are read where a padded batch has them."""

    def forward_of(self, problem: Problem, forward: Output, batch: int, queries: range) -> Output:
        if forward.out.dim() == 3:
            start = min(batch * problem.query_length, len(forward.out) - len(queries))
            queries = range(start, start + len(queries))
        return super().forward_of(problem, forward, batch, queries)
