"""A sliding window: each query sees the keys near its own position."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
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
"""(queries, keys) of a tile, as kernels have them."""

GENERAL = (
    "a left side of 0 keys is taken for one without a limit",
    "the left side of the window is ignored",
    "the right side of the window is ignored",
)
"""What may be said as well where both sides are: a causal mask hides what is to the right."""

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
        """From the two sides, `inf` where there is no limit."""
        left, right = (None if size == "inf" else int(size) for size in groups)
        return cls(left, right)

    def redrawn(self) -> WindowSize:
        """Half as many keys on each side that has a limit; two more where that is none or one."""
        sides = (self.left, self.right)
        return WindowSize(*(size if size is None else size // 2 if size > 1 else size + 2 for size in sides))

    def refuse(self, case: Case) -> None:
        """A window is aligned to the last key of the last query."""
        if self.left is None and self.right is None:
            raise ValueError("case: window_size has no limit; allowed: a limit on one side at least")
        if case.causal == "top-left":
            raise ValueError("case: window_size does not combine with causal top-left; allowed: bottom-right")

    def hides(self, case: Case) -> bool:
        """Whether the last query does not see the first key, or the first query the last key."""
        # The last query sees the last key, the first one key Skv - Sq.
        first = case.key_length - case.query_length
        left = self.left is not None and self.left < case.key_length - 1
        return left or (self.right is not None and first + self.right < case.key_length - 1)

    def mask(self, case: Case) -> Mask:
        """The window, aligned to the last key of the last query."""
        from pytest_attn.problem.masks import Window

        return Window(self.left, self.right)

    def keywords(self, problem: Problem, extras: Mapping[str, Tensor]) -> dict[str, Any]:
        """`window_size`: (left, right), -1 for a side without a limit."""
        left, right = (UNLIMITED if size is None else size for size in (self.left, self.right))
        return {"window_size": (left, right)}

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """Windows that are a key too long or short, or lie elsewhere, sides that are misread, and tiles that the window
        is lost on."""
        from pytest_attn.problem.variants.mistake import Instead, Mistake, instead

        yield from self._of_longest(problem, inputs)
        for phrase, mask in (*self._one_key_off(), *self._misread(), *self._lost_on_tiles()):
            general = phrase in GENERAL
            yield Mistake("window", phrase, instead(problem, self, Instead(seen=mask)), inputs, general=general)

    def _of_longest(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """Windows that lie in each sequence of a batch as in the longest, and so does the causal diagonal or not."""
        from pytest_attn.problem.masks import Causal, Pairs, parts
        from pytest_attn.problem.variants.mistake import Instead, Mistake, instead

        longest = problem.key_length - problem.query_length
        if all(each.key - each.query == longest for each in problem.sequences):
            return

        def window(query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
            return self._inside(key - query - longest)

        def diagonal(query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
            return key <= query + longest

        moved = instead(problem, self, Instead(seen=Pairs(f"{self.token}-longest", window)))
        rest = "as in the longest, at another offset than its own lengths give"
        masks = [Pairs("longest", diagonal) if isinstance(each, Causal) else each for each in parts(moved.mask)]
        if problem.causal is not None:
            phrase = f"window and causal diagonal of each sequence lie {rest}"
            yield Mistake("window", phrase, moved.masked(masks), inputs)
        yield Mistake("window", f"the window of each sequence lies {rest}", moved, inputs)

    def _one_key_off(self) -> Iterator[tuple[str, Mask]]:
        """The window with one side a key longer or shorter."""
        from pytest_attn.problem.masks import Window

        for step, words in ((1, "too far"), (-1, "too short")):
            if self.left is not None:
                yield f"the window reaches 1 key {words} to the left", Window(self.left + step, self.right)
        for step, words in ((1, "too far"), (-1, "too short")):
            if self.right is not None:
                yield f"the window reaches 1 key {words} to the right", Window(self.left, self.right + step)

    def _misread(self) -> Iterator[tuple[str, Mask]]:
        """The window with its sides exchanged, aligned otherwise, or taken for none."""
        from pytest_attn.problem.masks import Pairs, Window

        left, right = self.left, self.right
        top_left = Pairs(f"{self.token}-top-left", self._around_own_row)
        yield "left and right of the window are exchanged", Window(right, left)
        yield "the window lies around key i of query i (top-left), expected bottom-right", top_left
        if left == 0 or right == 0:
            yield "a side of 0 keys is taken for one without a limit", Window(left or None, right or None)
            yield "a left side of 0 keys is taken for one without a limit", Window(left or None, right)
        yield "the left side of the window is ignored", Window(None, right)
        yield "the right side of the window is ignored", Window(left, None)

    def _lost_on_tiles(self) -> Iterator[tuple[str, Mask]]:
        """What becomes of a window where a kernel treats a whole tile of queries and keys in one way."""
        from pytest_attn.problem.masks import Pairs

        for rows, keys in TILES:
            formulas: dict[str, Formula] = {
                f"the window is ignored on the last tile of {keys} keys": partial(self._last_tile_whole, rows, keys),
                f"the first tile of {keys} keys of a window is attended to whole": partial(
                    self._first_tile_whole, rows, keys
                ),
                f"tiles of {keys} keys are skipped that lie before the window of the last row of a tile": partial(
                    self._tiles_of_last_row, rows, keys
                ),
            }
            for phrase, formula in formulas.items():
                yield phrase, Pairs(f"{self.token}-{phrase}", formula)

    def _inside(self, ahead: Tensor) -> Tensor:
        """-left <= ahead <= right: whether a key that lies so many behind a query's own is in its window."""
        inside = ahead == ahead
        if self.left is not None:
            inside &= ahead >= -self.left
        return inside if self.right is None else inside & (ahead <= self.right)

    def _around_own_row(self, query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
        """i - left <= j <= i + right."""
        return self._inside(key - query)

    def _last_tile_whole(self, rows: int, keys: int, query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
        """The window, and all of the last tile of keys, as far as the window of the last query of its tile reaches."""
        offset = lengths.key - lengths.query
        first_of_last_tile = (lengths.key - 1) // keys * keys
        reached = key == key if self.right is None else key < (query // rows + 1) * rows + offset + self.right
        return self._inside(key - query - offset) | ((key >= first_of_last_tile) & reached)

    def _first_tile_whole(self, rows: int, keys: int, query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
        """The window, and all of the tile of keys where that of the first query of its tile begins, but for keys behind
        the window."""
        offset = lengths.key - lengths.query
        first_tile = (query // rows * rows + offset - (self.left or 0)).clamp_min(0) // keys
        ahead = key - query - offset
        before_end = ahead <= self.right if self.right is not None else key == key
        return self._inside(ahead) | ((key // keys == first_tile) & before_end)

    def _tiles_of_last_row(self, rows: int, keys: int, query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
        """The window without the tiles of keys before that where the window of the last query of a tile begins."""
        offset = lengths.key - lengths.query
        last_query = ((query // rows + 1) * rows).clamp_max(lengths.query) - 1
        first_key = (last_query + offset - (self.left or 0)).clamp_min(0) // keys * keys
        return self._inside(key - query - offset) & (key >= first_key)
