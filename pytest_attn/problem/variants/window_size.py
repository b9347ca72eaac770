"""A sliding window: each query sees the keys near its own position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.masks import Mask
    from pytest_attn.problem.problem import Problem

UNLIMITED = -1
"""What flash-attention passes for a side without a limit."""


@dataclass(frozen=True)
class WindowSize(Variant):
    """Query i sees keys i + Skv - Sq - left <= j <= i + Skv - Sq + right; None = no limit on that side.

    Keyword `window_size`, (left, right), -1 = no limit: that of flash-attention.
    """

    capability: ClassVar = "window_size"
    pattern: ClassVar = r"win(\d+|inf)x(\d+|inf)"
    absent: ClassVar = {"window_size": (UNLIMITED, UNLIMITED)}
    keeps: ClassVar = LINEAR | {"lastrow"}
    differentiable: ClassVar = True

    left: int | None = None
    right: int | None = None

    def __post_init__(self) -> None:
        for side in ("left", "right"):
            size = getattr(self, side)
            if size == UNLIMITED:
                object.__setattr__(self, side, None)
            elif size is not None and size < 0:
                raise ValueError(f"case: window_size {side} is {size}; allowed: 0 or more, or None for no limit")

    @property
    def token(self) -> str:
        """`win128x0`; `inf` for a side without a limit."""
        return "win" + "x".join("inf" if size is None else str(size) for size in (self.left, self.right))

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> WindowSize:
        """See `Variant.of_token`."""
        left, right = (None if size == "inf" else int(size) for size in groups)
        return cls(left, right)

    def refuse(self, case: Case) -> None:
        """A window is aligned to the last key of the last query."""
        if self.left is None and self.right is None:
            raise ValueError("case: window_size has no limit; allowed: a limit on one side at least")
        if case.causal == "top-left":
            raise ValueError("case: window_size does not combine with causal top-left; allowed: bottom-right")

    def hides(self, case: Case) -> bool:
        """See `Variant.hides`."""
        # The last query sees the last key, the first one key Skv - Sq.
        first = case.key_length - case.query_length
        left = self.left is not None and self.left < case.key_length - 1
        return left or (self.right is not None and first + self.right < case.key_length - 1)

    def mask(self, case: Case) -> Mask:
        """See `Variant.mask`."""
        from pytest_attn.problem.masks import Window

        return Window(self.left, self.right)

    def keywords(self, problem: Problem, extras: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Variant.keywords`."""
        left, right = (UNLIMITED if size is None else size for size in (self.left, self.right))
        return {"window_size": (left, right)}
