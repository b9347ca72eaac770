"""A sliding window: each query sees the keys near its own position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.masks import Lengths, Mask
    from pytest_attn.problem.masks.pairs import Formula
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Mistake

TILES = ((64, 64), (128, 64), (64, 128), (128, 128), (32, 32), (16, 16))
"""Queries and keys of a tile."""

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
    kind: ClassVar = "window"

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

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """See `Variant.mistakes`."""
        from pytest_attn.problem.masks import Pairs, Window
        from pytest_attn.problem.variants.mistake import Instead, Mistake, instead

        left, right = self.left, self.right
        swapped, top_left = Window(right, left), Pairs(f"{self.token}-top-left", self._around_own_row)
        guesses: list[tuple[str, Mask]] = []
        for side, size in (("left", left), ("right", right)):
            for step, words in ((1, "too far"), (-1, "too short")):
                if size is not None:
                    moved = Window(
                        *(each + step if name == side and each is not None else each for name, each in self._sides)
                    )
                    guesses.append((f"the window reaches 1 key {words} to the {side}", moved))
        guesses.append(("left and right of the window are exchanged", swapped))
        guesses.append(("the window lies around key i of query i (top-left), expected bottom-right", top_left))
        if left == 0 or right == 0:
            guesses.append(("a side of 0 keys is taken for one without a limit", Window(left or None, right or None)))
            guesses.append(("a left side of 0 keys is taken for one without a limit", Window(left or None, right)))
        guesses.append(("the left side of the window is ignored", Window(None, right)))
        guesses.append(("the right side of the window is ignored", Window(left, None)))
        for phrase, mask in guesses:
            yield Mistake("window", phrase, instead(problem, self, Instead(seen=mask)), inputs)
        for rows, keys in TILES:
            for phrase, formula in self._in_tiles(rows, keys):
                mask = Pairs(f"{self.token}-{phrase}", formula)
                yield Mistake("window", phrase, instead(problem, self, Instead(seen=mask)), inputs)

    @property
    def _sides(self) -> tuple[tuple[str, int | None], ...]:
        return ("left", self.left), ("right", self.right)

    def _around_own_row(self, query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
        return self._inside(key - query)

    def _inside(self, ahead: Tensor) -> Tensor:
        """Whether a key that lies so many behind a query's own is in its window."""
        inside = ahead == ahead
        if self.left is not None:
            inside &= ahead >= -self.left
        return inside if self.right is None else inside & (ahead <= self.right)

    def _in_tiles(self, rows: int, keys: int) -> Iterator[tuple[str, Formula]]:
        """What becomes of a window where a tile of that many queries or keys is treated in another way."""

        def last_whole(query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
            offset = lengths.key - lengths.query
            last = (lengths.key - 1) // keys * keys
            stop = key == key if self.right is None else key < (query // rows + 1) * rows + offset + self.right
            return self._inside(key - query - offset) | ((key >= last) & stop)

        def first_whole(query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
            offset = lengths.key - lengths.query
            first = (query // rows * rows + offset - (self.left or 0)).clamp_min(0) // keys
            ahead = key - query - offset
            whole = (key // keys == first) & ((ahead <= self.right) if self.right is not None else key == key)
            return self._inside(ahead) | whole

        def of_last_row(query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
            offset = lengths.key - lengths.query
            last = ((query // rows + 1) * rows).clamp_max(lengths.query) - 1
            first = (last + offset - (self.left or 0)).clamp_min(0) // keys * keys
            return self._inside(key - query - offset) & (key >= first)

        yield f"the window is ignored on the last tile of {keys} keys", last_whole
        yield f"the first tile of {keys} keys of a window is attended to whole", first_whole
        yield f"tiles of {keys} keys are skipped that lie before the window of the last row of a tile", of_last_row
