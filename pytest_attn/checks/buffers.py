"""Tensors inside memory that is not a number: what a kernel reads or writes beyond them shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_attn.checks.bits import bits
from pytest_attn.problem.case import Layout
from pytest_attn.problem.inputs import Inputs

MARGIN = 256
"""Elements before and after every tensor; a multiple of every alignment that kernels ask for."""

GAPS = (0, 8, 16, 24)
"""Elements left between the rows, and rows between the heads, of a strided tensor; multiples of 16 bytes."""


@dataclass(frozen=True, eq=False)
class Guarded:
    """A tensor, and the buffer of NaN in which it lies."""

    tensor: Tensor
    buffer: Tensor
    before: Tensor
    """The bits of the buffer as they were filled."""

    @property
    def intact(self) -> bool:
        """Whether tensor, gaps and margins hold the bits that they were filled with."""
        return torch.equal(bits(self.buffer), self.before)

    def refill(self, source: Tensor) -> Guarded:
        """The same memory with other contents."""
        self.tensor.copy_(source)
        return Guarded(self.tensor, self.buffer, bits(self.buffer).clone())


def guard(
    source: Tensor,
    layout: Layout = "contiguous",
    generator: torch.Generator | None = None,
    around: float = torch.nan,
) -> Guarded:
    """A copy of `source` `[B, H, S, D]` inside NaN, or what else `around` is, or -1 for whole numbers; strided: with an
    order and gaps drawn from the generator; bsnd: in the memory of `[B, S, H, D]`."""
    shape = tuple(source.shape)
    strides = _drawn_strides(shape, generator) if layout == "strided" else _contiguous(shape)
    if layout == "bsnd" and len(shape) == 4:
        heads, length, dim = shape[1:]
        strides = (length * heads * dim, dim, heads * dim, 1)
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    buffer = source.new_full((extent + 2 * MARGIN,), around if source.is_floating_point() else -1)
    tensor = buffer.as_strided(shape, strides, MARGIN)
    tensor.copy_(source)
    return Guarded(tensor, buffer, bits(buffer).clone())


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return tuple(strides)


def _drawn_strides(shape: tuple[int, ...], generator: torch.Generator | None) -> tuple[int, ...]:
    """Strides whose last is 1: the other dimensions in random order, with a gap after each."""
    order = torch.randperm(len(shape) - 1, generator=generator).tolist()
    strides = [1] * len(shape)
    pitch = shape[-1]
    for dimension in order:
        gap = GAPS[int(torch.randint(len(GAPS), (), generator=generator))]
        # Rows stay aligned: the pitch is rounded up to a multiple of the smallest gap.
        pitch = -(-(pitch + gap) // GAPS[1]) * GAPS[1]
        strides[dimension] = pitch
        pitch *= shape[dimension]
    return tuple(strides)


@dataclass(frozen=True, eq=False)
class GuardedInputs:
    """Every tensor that a kernel is given, each in a guarded buffer of its own, by name. `source`: the inputs that they
    were copied from; `poisoned`: keys and values that no sequence has hold NaN."""

    source: Inputs
    named: Mapping[str, Guarded]
    poisoned: bool = False

    @staticmethod
    def of(
        inputs: Inputs,
        layout: Layout = "contiguous",
        seed: int = 0,
        around: float = torch.nan,
        *,
        poisoned: bool = False,
    ) -> GuardedInputs:
        """Copies of the inputs that a kernel may spoil, with `around` in the memory beside them."""
        generator = torch.Generator().manual_seed(seed)
        given = (inputs.poisoned() if poisoned else inputs).stored()
        extras = given.extras
        named = {
            name: guard(tensor, "contiguous" if name in extras else layout, generator, around)
            for name, tensor in given.named().items()
        }
        return GuardedInputs(given, named, poisoned)

    @property
    def query(self) -> Guarded:
        """The query `[B, Hq, Sq, D]`, or in its stored form, and the memory around it."""
        return self.named["query"]

    @property
    def key(self) -> Guarded:
        """The key `[B, Hkv, Skv, D]`, or in its stored form, and the memory around it."""
        return self.named["key"]

    @property
    def value(self) -> Guarded:
        """The value `[B, Hkv, Skv, Dv]`, or in its stored form, and the memory around it."""
        return self.named["value"]

    @property
    def inputs(self) -> Inputs:
        """What the kernel is given, in the form of its storage."""
        return self.source.of_named({name: guarded.tensor for name, guarded in self.named.items()})

    def refill(self, inputs: Inputs) -> GuardedInputs:
        """The same memory with other contents of the same shapes."""
        given = (inputs.poisoned() if self.poisoned else inputs).stored()
        sources = given.named()
        named = {name: guarded.refill(sources[name]) for name, guarded in self.named.items()}
        return replace(self, source=given, named=named)

    def written(self) -> str | None:
        """The name of the first input that was written, within or beside it; None where all are intact."""
        return next((name for name, guarded in self.named.items() if not guarded.intact), None)

    def aliased(self, tensor: Tensor) -> str | None:
        """The name of the input whose memory a tensor shares; None where it shares none."""
        storage = tensor.untyped_storage().data_ptr()
        return next((n for n, g in self.named.items() if g.buffer.untyped_storage().data_ptr() == storage), None)
