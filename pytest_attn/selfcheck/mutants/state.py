"""What a kernel keeps from one call to the next, and should not."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

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


class Keeping(TileLoop):
    """The loop with a cache that outlives a call."""

    def __init__(self) -> None:
        self.cache: dict[Hashable, Any] = {}


@plant("stale state")
class ScaleOfFirstCall(Keeping):
    """The compiled kernel is cached by shape, without the scale that is compiled in (FlashInfer #4014)."""

    def scale(self, problem: Problem) -> float:
        scale: float = self.cache.setdefault(problem.out_shape, problem.scale)
        return scale


@plant("stale state")
class MaskOfFirstCall(Keeping):
    """A mask that was planned once stays in force (FlashInfer #1028)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        mask = self.cache.setdefault((problem.out_shape, problem.key_length), problem.mask)
        return super().run(replace(problem, mask=mask), inputs)


@plant("stale state")
class DiagonalOfFirstCall(Keeping):
    """The compiled kernel is cached without the causal flag (MLX #2053)."""

    def diagonal(self, problem: Problem) -> int:
        diagonal: int = self.cache.setdefault(problem.lengths, super().diagonal(problem))
        return diagonal


@plant("stale state")
class BlockListOfFirstCall(Keeping):
    """Block lists are cached by the shape of their mask."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        place = (problem.lengths, self.key_block(problem), lane.batches.start, lane.heads.start, rows)
        blocks: list[int] = self.cache.setdefault(place, super().block_list(problem, lane, rows))
        return blocks


@plant("stale state")
class KeyLengthOfFirstCall(Keeping):
    """The number of keys is frozen into the captured graph (vLLM Ascend #10895)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        length = self.cache.setdefault(problem.out_shape, problem.key_length)
        return super().run(replace(problem, key_length=length), inputs)


@plant("stale state")
class StridesOfFirstCall(Keeping):
    """The plan is cached without the strides of the keys (FlashInfer #4015, flash-attention #2298)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        strides: Sequence[int] = self.cache.setdefault(inputs.key.shape, inputs.key.stride())
        return super().run(problem, replace(inputs, key=reread(inputs.key, inputs.key.shape, strides)))


@plant("stale state")
class ResultKeptByAddress(Keeping):
    """The result is kept by the addresses of the inputs, whatever lies there by now."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        address = (problem, inputs.query.data_ptr(), inputs.key.data_ptr(), inputs.value.data_ptr())
        if address not in self.cache:
            # The inputs are kept too: whether freed memory is given out again is a matter of luck.
            self.cache[address] = inputs, super().run(problem, inputs)
        kept: Output = self.cache[address][1]
        return kept


@plant("stale state")
class ConvertedKeyKeptByAddress(Keeping):
    """The keys are converted to another layout once for each address."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        address = (inputs.key.data_ptr(), inputs.key.shape)
        _, key = self.cache.setdefault(address, (inputs.key, inputs.key.clone()))
        return super().run(problem, replace(inputs, key=key))


@plant("stale state")
class WorkspaceNotCleared(Keeping):
    """Partial results are added to a workspace that is cleared by its allocation alone (FlashInfer #1643)."""

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        output = super().run(problem, inputs)
        workspace = self.cache.setdefault(problem.out_shape, torch.zeros_like(output.out))
        return Output(workspace.add_(output.out).clone(), output.lse)


@plant("stale state")
class EmptySplitKeepsWorkspace(Keeping):
    """A split without tiles leaves in the workspace what the last one wrote there (aiter #3641)."""

    def split(
        self, problem: Problem, inputs: Inputs, lane: Lane, rows: range, query: Tensor, tiles: Sequence[range]
    ) -> Part:
        part = super().split(problem, inputs, lane, rows, query, tiles)
        if tiles or query.shape not in self.cache:
            self.cache[query.shape] = part
        kept: Part = self.cache[query.shape]
        return kept


class KeepingVariants(VariantLoop):
    """The loop of variants with a cache that outlives a call."""

    def __init__(self) -> None:
        self.cache: dict[Hashable, Any] = {}


@plant("stale state")
class WindowOfFirstCall(KeepingVariants):
    """The window is compiled in, and the compiled kernel is found by its shapes."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        window: tuple[Side, Side] = self.cache.setdefault(problem.lengths, super().window(problem, size))
        return window


@plant("stale state")
class CapOfFirstCall(KeepingVariants):
    """The cap of logits is compiled in."""

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        return super().capped(problem, scores, self.cache.setdefault("cap", cap))


@plant("stale state")
class SlopesOfFirstCall(KeepingVariants):
    """Slopes are copied to constant memory once for each number of heads."""

    def slopes(self, problem: Problem, slopes: Tensor, lane: Lane) -> Tensor:
        return super().slopes(problem, self.cache.setdefault(len(slopes), slopes.clone()), lane)


@plant("stale state")
class SinksOfFirstCall(KeepingVariants):
    """Sinks are converted once for each number of heads."""

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        return super().sink(problem, self.cache.setdefault(len(sinks), sinks.clone()), lane)


@plant("stale state")
class BiasOfFirstCall(KeepingVariants):
    """The bias is padded once for each shape."""

    def bias_of(self, bias: Tensor, batch: int) -> Tensor:
        return super().bias_of(self.cache.setdefault(bias.shape, bias.clone()), batch)


@plant("stale state")
class PageTableOfFirstCall(KeepingVariants):
    """The table of pages is that of the captured graph."""

    def page_list(self, problem: Problem, inputs: Inputs, batch: int) -> Tensor:
        pages = super().page_list(problem, inputs, batch)
        kept: Tensor = self.cache.setdefault((problem.batch, problem.key_length, batch), pages)
        return kept % len(inputs.key)


@plant("stale state")
class LengthsOfFirstCall(KeepingVariants):
    """The lengths of the sequences are those of the plan (FlashInfer #1028)."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        length: int = self.cache.setdefault((problem.out_shape, batch), super().key_length(problem, used, batch))
        return length


@plant("stale state")
class PackedEndsOfFirstCall(KeepingVariants):
    """The ends of packed sequences are those of the plan, as long as there are as many tokens."""

    def keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        own = super().keys(problem, inputs, batch)
        return self.cache.setdefault((inputs.key.shape, batch), own) if "cu_seqlens_k" in inputs.extras else own
