"""What a variant of attention says of itself: one frozen dataclass, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pytest_attn.problem.relations import Relation

if TYPE_CHECKING:  # ids need no torch
    from torch import Generator, Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.kinds import Kind
    from pytest_attn.problem.masks import Mask
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Mistake

Function = Literal["tanh"]
"""What a kernel evaluates on logits beside the exponential, with an error that its `Numerics` declares."""

Side = Literal["query", "key"]
"""Whether the tokens of a tensor are queries or keys."""

LINEAR: frozenset[Relation] = frozenset({"expandedheads", "hiddenkeys", "summedvalues", "lonehead"})
"""Relations that hold whatever becomes of the logits: each head alone, linear in the values."""


class Tile(NamedTuple):
    """Some pairs of one head: `query` `[R, 1]` and `key` `[K]` hold positions, int64; the lengths are those of the
    sequence."""

    batch: int
    head: int
    query: Tensor
    key: Tensor
    query_length: int
    key_length: int


@dataclass(frozen=True)
class Variant:
    """A kind of attention beyond softmax(scale q k^T) v with the masks of a case.

    A subclass is a frozen dataclass of plain values, registered by `register_variant`. It overrides what it changes:
    the mask, the lengths of each batch, the scaled logits, or a sink; and it names the capability that a kernel claims
    and the keywords that reach a kernel that does. Defining one needs no torch: methods that make tensors import it.
    """

    capability: ClassVar[str]
    """The word by which a kernel claims the variant, and a keyword that it is then passed."""

    pattern: ClassVar[str]
    """The token in an id, as a regular expression: lower-case letters and digits, groups for the fields."""

    absent: ClassVar[Mapping[str, Any]] = {}
    """What a kernel that claims the capability is passed where the problem has no such variant."""

    keeps: ClassVar[frozenset[Relation]] = LINEAR
    """The relations that hold for it."""

    changes_logits: ClassVar[bool] = False
    """Whether `change` changes any logit; the oracle computes the change and its moments only then."""

    stores: ClassVar[bool] = False
    """Whether a kernel that claims the capability is given tensors of another form, made by `store`."""

    differentiable: ClassVar[bool] = False
    """Whether the oracle of gradients knows it: one that contributes a mask or lengths alone may say so, and one that
    `stores` if it stores `grad_out` and restores gradients."""

    functions: ClassVar[tuple[Function, ...]] = ()
    """What a kernel evaluates on the logits to apply it."""

    kind: ClassVar[Kind] = "logits"
    """What a diagnosis calls it where the variant is ignored or misread."""

    @property
    def splits(self) -> int:
        """Of how many splits of the keys a kernel that claims the capability returns partial results; 0: it returns the
        result."""
        return 0

    @property
    def saturates(self) -> float:
        """The size of logits from which a function of them hardly changes any more; 0: it has none."""
        return 0.0

    @property
    def token(self) -> str:
        """Its word in the id of a case."""
        raise NotImplementedError

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> Variant:
        """The variant of a token, from the groups of `pattern`."""
        return cls()

    def refuse(self, case: Case) -> None:
        """Raises ValueError `case: ...` naming the field where the variant does not combine with the case."""

    def hides(self, case: Case) -> bool:
        """Whether it hides some key of a case from some query."""
        return False

    def mask(self, case: Case) -> Mask | None:
        """The mask that it contributes; keys are attended to that all masks of a problem allow."""
        return None

    def lengths(self, case: Case) -> tuple[tuple[int, int], ...] | None:
        """(queries, keys) of each batch, where they are fewer than the tensors have room for. Masks that are aligned
        to the ends of a sequence are aligned to these."""
        return None

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """Further tensors, by the keyword of the kernel. Kept in `Inputs.extras`."""
        return {}

    def redrawn(self) -> Variant | None:
        """The variant with other values, with which every input keeps its shape: what a kernel that keeps those of an
        earlier call is wrong on. Itself where its values are drawn by `draw`; None where it offers none."""
        return None

    def store(self, inputs: Inputs) -> Inputs:
        """The inputs in the form that a kernel of the capability takes, where that is not `[B, H, S, D]`; called where
        `stores`."""
        return inputs

    def stored_shapes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the output and of the LSE that such a kernel returns."""
        return problem.out_shape, problem.lse_shape

    def restore(self, problem: Problem, stored: Tensor, into: Tensor, side: Side = "query") -> None:
        """Put an output, an LSE or a gradient of the stored shape where it belongs in `into`, `[B, H, S, D]` or
        `[B, Hq, Sq]`. `side`: whose tokens it has, "key" for the gradients of key and value alone."""
        into.copy_(stored)

    def change(self, logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        """The logits `[R, K]` of a tile, natural and scaled, changed; in place where that serves.

        A change must not spread logits: |change(a) - change(b)| <= |a - b|, which the error budget relies on.
        """
        return logits

    def sink(self, extras: Mapping[str, Tensor]) -> Tensor | None:
        """A logit `[Hq]` that stands in the denominator of every row of its head, and in its log-sum-exp, and has no
        value."""
        return None

    def keywords(self, problem: Problem, extras: Mapping[str, Tensor]) -> dict[str, Any]:
        """What reaches a kernel that claims the capability."""
        return {name: extras[name] for name in self.absent}

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """What a wrong kernel may compute in its place, likely ones first. That the variant is ignored, that a whole
        number of it is one off, and that a tensor of it is another head's or batch's, scaled or rounded, is tried for
        every variant."""
        return iter(())
