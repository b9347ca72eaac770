"""What a wrong kernel may make of a variant: another problem, on which it would be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import Variant

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.kinds import Kind
    from pytest_attn.problem.masks import Mask
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.variant import Tile

Change = Callable[["Tensor", "Tile", Mapping[str, "Tensor"]], "Tensor"]
"""(logits `[R, K]`, their tile, extras) -> changed logits: `Variant.change` as a function."""

Amend = Callable[["Tensor | None", "Tensor"], tuple["Tensor | None", "Tensor"]]
"""(out, lse) -> (out, lse): out `[B, H, Sq, Dv]`, None where it is not asked for; lse `[B, H, Sq]`."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """A kind of bug, in words, and the problem and inputs that a kernel with it solves; `lse_problem` is that of its
    LSE where it is another. `amend` makes its output, None where it is not asked for, and its LSE of those of the
    problem. `general`: another wording of what a mistake named before it may be; no alternative to that."""

    kind: Kind
    phrase: str
    problem: Problem
    inputs: Inputs
    lse_problem: Problem | None = None
    amend: Amend | None = None
    general: bool = False


@dataclass(frozen=True)
class Instead(Variant):
    """What stands in the place of a variant: another change of the logits, another mask, or other lengths."""

    capability: ClassVar = "instead"
    pattern: ClassVar = r"instead"
    changes_logits: ClassVar = True

    how: Change | None = None
    seen: Mask | None = None
    sequences: tuple[tuple[int, int], ...] | None = None

    def mask(self, case: Case) -> Mask | None:
        """The mask `seen`, if any."""
        return self.seen

    def lengths(self, case: Case) -> tuple[tuple[int, int], ...] | None:
        """The lengths `sequences`, (queries, keys) of each batch, if any."""
        return self.sequences

    def change(self, logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        """What `how` makes of the logits; the same logits where it is None."""
        return logits if self.how is None else self.how(logits, tile, extras)


def instead(problem: Problem, variant: Variant, other: Instead) -> Problem:
    """A problem with something else in the place of a variant."""
    return problem.varied(other if each is variant else each for each in problem.variants)


def without(problem: Problem, variant: Variant) -> Problem:
    """The problem without a variant and what it contributes to the mask."""
    return problem.varied(each for each in problem.variants if each is not variant)


def with_extra(inputs: Inputs, name: str, tensor: Tensor) -> Inputs:
    """The inputs with another tensor in the place of the one of a keyword, in `extras`."""
    return replace(inputs, extras={**inputs.extras, name: tensor})
