"""The tensors of a problem, drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pytest_attn.problem import recipes
from pytest_attn.problem.masks import Ragged
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import Recipe


@dataclass(frozen=True, eq=False)
class Inputs:
    """query `[B, Hq, Sq, D]`, key `[B, Hkv, Skv, D]`, value `[B, Hkv, Skv, Dv]`, of the problem's dtype; where
    gradients are asked for, `grad_out` `[B, Hq, Sq, Dv]`, the gradient of the output.

    `key_of_content` is equal for equal tensors: shape, dtype, seed and recipe, and scale or mask only where the recipe
    depends on them, so that the cells of one shape share inputs and references. `extras` holds what the variants of the
    problem draw, by keyword; `unread`, bool `[B, 1, Skv, 1]`, marks keys that no sequence has, None where there are
    none; `storage` the variant that gives them another form, None where they have that or keep theirs.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    key_of_content: str
    grad_out: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    unread: Tensor | None = None
    storage: Variant | None = None

    @staticmethod
    def content(problem: Problem, seed: int, recipe: Recipe = "normal") -> str:
        """`key_of_content` of the inputs that `draw` gives."""
        return "-".join([_plain_content(problem, seed, recipe), *(variant.token for variant in problem.variants)])

    @staticmethod
    def draw(problem: Problem, seed: int, recipe: Recipe = "normal") -> Inputs:
        """Inputs on the CPU. The same problem shape, dtype, seed and recipe give the same bits, whatever the
        variants."""
        content = _plain_content(problem, seed, recipe)
        generator = _generator(content)
        query, key, value = recipes.draw(problem, recipe, generator)
        grad_out = recipes.draw_grad_out(problem, recipe, generator).to(problem.dtype) if problem.wants_grad else None
        extras: dict[str, Tensor] = {}
        for variant in problem.variants:
            extras |= variant.draw(problem, _generator(f"{content}-{variant.token}"))
        return Inputs(
            query.to(problem.dtype),
            key.to(problem.dtype),
            value.to(problem.dtype),
            Inputs.content(problem, seed, recipe),
            grad_out,
            extras,
            _unread(problem),
            problem.storage,
        )

    def redrawn(self, problem: Problem, seed: int) -> Inputs:
        """The same query, key and value, with what the variants of a problem of these shapes draw."""
        content = f"{self.key_of_content}-{seed}"
        extras: dict[str, Tensor] = {}
        for variant in problem.variants:
            drawn = variant.draw(problem, _generator(f"{content}-{variant.token}"))
            extras |= {name: tensor.to(self.query.device) for name, tensor in drawn.items()}
        tokens = "-".join(variant.token for variant in problem.variants)
        return replace(
            self,
            key_of_content=f"{content}-{tokens}",
            extras=extras,
            unread=_unread(problem),
            storage=problem.storage,
        )

    def stored(self) -> Inputs:
        """The inputs in the form that the kernel is given."""
        return self if self.storage is None else replace(self.storage.store(self), unread=None, storage=None)

    def poisoned(self) -> Inputs:
        """The inputs with NaN in the keys and values that no sequence has."""
        if self.unread is None:
            return self
        unread = self.unread.to(self.key.device)
        key, value = (tensor.masked_fill(unread, torch.nan) for tensor in (self.key, self.value))
        return replace(self, key=key, value=value)

    def each(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """The same inputs with every tensor that a kernel is given changed."""
        return self.of_named({name: change(tensor) for name, tensor in self.named().items()})

    def of_named(self, tensors: Mapping[str, Tensor]) -> Inputs:
        """The same inputs with the tensors of `named()` replaced."""
        return replace(
            self,
            query=tensors["query"],
            key=tensors["key"],
            value=tensors["value"],
            grad_out=tensors.get("grad_out"),
            extras={name: tensors[name] for name in self.extras},
        )

    def named(self) -> dict[str, Tensor]:
        """Every tensor that a kernel is given, by name."""
        own = {"query": self.query, "key": self.key, "value": self.value, "grad_out": self.grad_out}
        return {name: tensor for name, tensor in own.items() if tensor is not None} | dict(self.extras)

    def clone(self) -> Inputs:
        """A copy of every tensor, which a kernel may write into."""
        return self.each(torch.clone)

    def equal(self, other: Inputs) -> bool:
        """Whether every element is the same."""
        mine, theirs = self.named(), other.named()
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)

    def to(self, device: torch.device) -> Inputs:
        """The same inputs on a device; this value itself where they are there already."""
        return self if self.query.device == device else self.each(lambda tensor: tensor.to(device))


def _plain_content(problem: Problem, seed: int, recipe: Recipe) -> str:
    query = f"{problem.batch}x{problem.query_heads}x{problem.query_length}x{problem.head_dim}"
    key = f"{problem.key_heads}x{problem.key_length}x{problem.value_dim}"
    grad = "-grad" if problem.wants_grad else ""
    return f"{query}-{key}-{problem.dtype}-{seed}-{recipes.content(problem, recipe)}{grad}"


def _generator(content: str) -> torch.Generator:
    digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def _unread(problem: Problem) -> Tensor | None:
    if not isinstance(problem.mask, Ragged):
        return None
    lengths = torch.tensor([each.key for each in problem.mask.sequences])
    return (torch.arange(problem.key_length) >= lengths.unsqueeze(1))[:, None, :, None]
