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
    """query `[B, Hq, Sq, D]`, key `[B, Hkv, Skv, D]`, value `[B, Hkv, Skv, Dv]`, of the problem's dtype.

    `key_of_content` is equal for equal tensors: shape, dtype, seed and recipe, and scale or mask only where the recipe
    depends on them, so that the cells of one shape share inputs and references.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    key_of_content: str

    @staticmethod
    def content(problem: Problem, seed: int, recipe: Recipe = "normal") -> str:
        """`key_of_content` of the inputs that `draw` gives."""
        query = f"{problem.batch}x{problem.query_heads}x{problem.query_length}x{problem.head_dim}"
        key = f"{problem.key_heads}x{problem.key_length}x{problem.value_dim}"
        return f"{query}-{key}-{problem.dtype}-{seed}-{recipes.content(problem, recipe)}"

    @staticmethod
    def draw(problem: Problem, seed: int, recipe: Recipe = "normal") -> Inputs:
        """Inputs on the CPU. The same problem shape, dtype, seed and recipe give the same bits."""
        content = Inputs.content(problem, seed, recipe)
        digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
        query, key, value = recipes.draw(problem, recipe, generator)
        return Inputs(query.to(problem.dtype), key.to(problem.dtype), value.to(problem.dtype), content)

    def clone(self) -> Inputs:
        """A copy that a kernel may spoil."""
        return Inputs(self.query.clone(), self.key.clone(), self.value.clone(), self.key_of_content)

    def equal(self, other: Inputs) -> bool:
        """Whether every element is the same."""
        pairs = ((self.query, other.query), (self.key, other.key), (self.value, other.value))
        return all(torch.equal(mine, theirs) for mine, theirs in pairs)

    def to(self, device: torch.device) -> Inputs:
        """The same inputs on a device; this value itself where they are there already."""
        if self.query.device == device:
            return self
        return Inputs(self.query.to(device), self.key.to(device), self.value.to(device), self.key_of_content)
