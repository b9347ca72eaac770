"""The tensors of a problem, drawn from a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.problem import recipes
from pytest_attn.problem.case import Recipe
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Inputs:
    """query `[B, Hq, Sq, D]`, key `[B, Hkv, Skv, D]`, value `[B, Hkv, Skv, Dv]`, of the problem's dtype; where
    gradients are asked for, `grad_out` `[B, Hq, Sq, Dv]`, the gradient of the output.

    `key_of_content` is equal for equal tensors: shape, dtype, seed and recipe, and scale or mask only where the recipe
    depends on them, so that the cells of one shape share inputs and references.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    key_of_content: str
    grad_out: Tensor | None = None

    @staticmethod
    def content(problem: Problem, seed: int, recipe: Recipe = "normal") -> str:
        """`key_of_content` of the inputs that `draw` gives."""
        query = f"{problem.batch}x{problem.query_heads}x{problem.query_length}x{problem.head_dim}"
        key = f"{problem.key_heads}x{problem.key_length}x{problem.value_dim}"
        grad = "-grad" if problem.wants_grad else ""
        return f"{query}-{key}-{problem.dtype}-{seed}-{recipes.content(problem, recipe)}{grad}"

    @staticmethod
    def draw(problem: Problem, seed: int, recipe: Recipe = "normal") -> Inputs:
        """Inputs on the CPU. The same problem shape, dtype, seed and recipe give the same bits."""
        content = Inputs.content(problem, seed, recipe)
        digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
        query, key, value = recipes.draw(problem, recipe, generator)
        grad_out = recipes.draw_grad_out(problem, recipe, generator).to(problem.dtype) if problem.wants_grad else None
        return Inputs(
            query.to(problem.dtype), key.to(problem.dtype), value.to(problem.dtype), content, grad_out=grad_out
        )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        named = {"query": self.query, "key": self.key, "value": self.value}
        return named if self.grad_out is None else {**named, "grad_out": self.grad_out}

    def clone(self) -> Inputs:
        """A copy that a kernel may spoil."""
        return Inputs(**{n: t.clone() for n, t in self.tensors.items()}, key_of_content=self.key_of_content)

    def equal(self, other: Inputs) -> bool:
        """Whether every element is the same."""
        mine, theirs = self.tensors, other.tensors
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)

    def to(self, device: torch.device) -> Inputs:
        """The same inputs on a device; this value itself where they are there already."""
        if self.query.device == device:
            return self
        return Inputs(**{n: t.to(device) for n, t in self.tensors.items()}, key_of_content=self.key_of_content)
