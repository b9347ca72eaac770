"""An additive bias of every pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Generator, Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Mistake
    from pytest_attn.problem.variants.variant import Tile

HIDDEN = -1e4
"""A logit whose exponential is 0."""


@dataclass(frozen=True)
class Bias(Variant):
    """`attn_bias[b, h, i, j]` is added to the scaled logit; normal numbers.

    Keyword `attn_bias` `[B or 1, Hq or 1, Sq, Skv]`, of the dtype of the query or float32: the float `attn_mask` of
    PyTorch's scaled_dot_product_attention, `attn_bias` of xFormers.
    """

    capability: ClassVar = "attn_bias"
    pattern: ClassVar = r"bias([1b])x([1h])(f32)?"
    absent: ClassVar = {"attn_bias": None}
    changes_logits: ClassVar = True

    per_batch: bool = False
    per_head: bool = False
    float32: bool = False

    @property
    def token(self) -> str:
        """`biasbxh`, `bias1x1` where all batches or all heads share one; `f32` behind it for float32."""
        return f"bias{'b' if self.per_batch else 1}x{'h' if self.per_head else 1}{'f32' if self.float32 else ''}"

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> Bias:
        """From b or 1, h or 1, and f32 or None."""
        return cls(groups[0] == "b", groups[1] == "h", groups[2] is not None)

    def refuse(self, case: Case) -> None:
        """float32 is the dtype of the query where that is float32."""
        if self.float32 and case.dtype == "float32":
            raise ValueError("case: attn_bias of float32 is that of the dtype here; allowed: without f32")

    def redrawn(self) -> Bias:
        """Itself: its numbers are drawn."""
        return self

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """`attn_bias` `[B or 1, Hq or 1, Sq, Skv]`, standard normal."""
        import torch

        heads = (problem.batch if self.per_batch else 1, problem.query_heads if self.per_head else 1)
        bias = torch.randn(*heads, problem.query_length, problem.key_length, generator=generator)
        return {"attn_bias": bias if self.float32 else bias.to(problem.dtype)}

    def change(self, logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        """logit + attn_bias[b, h, i, j]."""
        bias = extras["attn_bias"][tile.batch * self.per_batch, tile.head * self.per_head]
        return logits.add_(bias.cpu()[tile.query, tile.key].to(logits.dtype))

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """A bias of another key, order or shape in memory, and one that hides where it is 0."""
        from pytest_attn.problem.variants.mistake import Instead, Mistake, instead, with_extra

        bias = inputs.extras["attn_bias"]
        for step, words in ((1, "before"), (-1, "after")):
            moved = with_extra(inputs, "attn_bias", bias.roll(step, 3))
            yield Mistake("logits", f"each key has the bias of the one {words} it", problem, moved)
        turned = with_extra(inputs, "attn_bias", bias.mT.reshape(bias.shape))
        yield Mistake("strides", "the bias is read with its rows and columns exchanged", problem, turned)
        read = with_extra(inputs, "attn_bias", _column_by_column(bias))
        yield Mistake("strides", "the bias is read as if it lay column by column", problem, read)
        others = (*(each for each in problem.variants if each is not self),)
        first = replace(problem, variants=(self, *others))
        yield Mistake("logits", "the bias is added before logits are changed", first, inputs, general=True)

        def hidden(logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
            own = extras["attn_bias"][tile.batch * self.per_batch, tile.head * self.per_head].cpu()
            small = own[tile.query, tile.key].abs() < 1 / 256
            return self.change(logits, tile, extras).masked_fill(small, HIDDEN)

        yield Mistake("logits", "keys of a bias of 0 are hidden", instead(problem, self, Instead(hidden)), inputs)


def _column_by_column(bias: Tensor) -> Tensor:
    """The numbers of each head's bias in the order in which they lie, taken for those of its columns."""
    rows, keys = bias.shape[2:]
    return bias.reshape(*bias.shape[:2], keys, rows).mT.contiguous()
