"""The head dimension of keys and of values."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import WindowSize
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.memory import reread
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop
from pytest_attn.selfcheck.mutants.variant_loop import Side, VariantLoop


@plant("head dim")
class HeadDimIsSixtyFour(TileLoop):
    """The product of query and key is taken over 64 columns, whatever the head dim (Triton #621)."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return super().scores(query[..., :64], key[..., :64])


@plant("head dim")
class HeadDimRoundedDown(TileLoop):
    """Columns are multiplied 16 at a time, and a last partial step is left out."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        whole = query.shape[3] // 16 * 16
        return super().scores(query[..., :whole], key[..., :whole])


@plant("head dim")
class LargeHeadDimCut(TileLoop):
    """Head dims beyond 128 take a second step, which is missing (FlashInfer #2137)."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return super().scores(query[..., :128], key[..., :128])


@plant("head dim")
class ValueDimOfKey(TileLoop):
    """As many columns are written as the keys have (flash-attention 9e07d6d3)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        width = min(problem.head_dim, problem.value_dim)
        super().store_out(problem, out[..., :width], lane, rows, Part(part.out[..., :width], part.lse))


@plant("head dim")
class ValueColumnsInSteps(TileLoop):
    """Columns are written 64 at a time, and a last partial step is left out (JAX c9a5799a2a)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        width = max(problem.value_dim // 64, 1) * 64
        super().store_out(problem, out[..., :width], lane, rows, Part(part.out[..., :width], part.lse))


@plant("head dim")
class ValueStepsOfKey(TileLoop):
    """Values are weighted in as many steps of 32 columns as the keys have (FLA #633)."""

    def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        value = super().load_value(problem, inputs, lane, keys)
        value[..., -(-problem.head_dim // 32) * 32 :] = 0.0
        return value


@plant("head dim")
class ColumnsPermuted(TileLoop):
    """Pairs of columns are stored in each other's place: the norm is right (flash-attention #2553)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        swapped = part.out.view(*part.out.shape[:3], -1, 2).flip(4).flatten(3)
        super().store_out(problem, out, lane, rows, Part(swapped, part.lse))


@plant("strides")
class WideKeysMadeContiguousOnce(TileLoop):
    """The path of 256 columns needs contiguous keys, and makes them so in its first call alone (flash-attention
    #2886)."""

    def __init__(self) -> None:
        self.compiled: set[torch.dtype] = set()

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        compiled = inputs.key.dtype in self.compiled
        self.compiled.add(inputs.key.dtype)
        if problem.head_dim != 256 or not compiled:
            return super().run(problem, inputs)
        strides = torch.empty(inputs.key.shape, device="meta").stride()
        return super().run(problem, replace(inputs, key=reread(inputs.key, inputs.key.shape, strides)))


@plant("head dim")
class WindowOfHead80Lost(VariantLoop):
    """The kernel of head dim 80 was compiled without windows."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return (None, None) if problem.head_dim == 80 else super().window(problem, size)


@plant("head dim")
class PagesOfHead96InOrder(VariantLoop):
    """The kernel of head dim 96 takes the pages of a sequence for neighbours."""

    def page_list(self, problem: Problem, inputs: Inputs, batch: int) -> Tensor:
        pages = super().page_list(problem, inputs, batch)
        return pages if problem.head_dim != 96 else (int(pages[0]) + torch.arange(len(pages))) % len(inputs.key)


@plant("head dim")
class LongRowsOfHead72Cut(TileLoop):
    """The kernel of head dim 72 has shared memory for 1024 keys."""

    def key_stop(self, problem: Problem, rows: range) -> int:
        stop = super().key_stop(problem, rows)
        return min(stop, 1024) if problem.head_dim == 72 else stop
