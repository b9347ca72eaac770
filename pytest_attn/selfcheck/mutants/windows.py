"""Where a sliding window lies, and which tiles it crosses."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.masks import Causal
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import WindowSize
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.variant_loop import Side, VariantLoop


def _more(side: Side, keys: int) -> Side:
    """A side of a window with more keys; without a limit it stays so."""
    return None if side is None else side + keys


@plant("window")
class WindowOneShortOnTheLeft(VariantLoop):
    """Each query misses the first key of its window (SGLang #32087)."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return _more(size.left, -1), size.right


@plant("window")
class WindowOneTooFarOnTheLeft(VariantLoop):
    """Each query sees one key before its window (SGLang #34273)."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return _more(size.left, 1), size.right


@plant("window")
class WindowOneShortOnTheRight(VariantLoop):
    """Each query misses the last key of its window."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return size.left, _more(size.right, -1)


@plant("window")
class WindowOneTooFarOnTheRight(VariantLoop):
    """Each query sees one key behind its window."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return size.left, _more(size.right, 1)


@plant("window")
class WindowIgnored(VariantLoop):
    """Every query sees all keys, or all that the causal mask leaves."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return None, None


@plant("window")
class WindowOnlyWithCausal(VariantLoop):
    """The window is ignored where no other mask is given (JAX 099f0a1708)."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return super().window(problem, size) if isinstance(problem.mask, Causal) else (None, None)


@plant("window")
class WindowSidesSwapped(VariantLoop):
    """The window reaches as far to the left as it should to the right, and the other way round."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return size.right, size.left


@plant("window")
class WindowOfNoneToTheLeft(VariantLoop):
    """A side of 0 keys is taken for one without a limit."""

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        return size.left or None, size.right


@plant("window")
class WindowTopLeft(VariantLoop):
    """Query i has its window around key i, however many keys there are."""

    def center(self, problem: Problem) -> int:
        return 0


@plant("window")
class WindowForgottenOnLastTile(VariantLoop):
    """The last tile of keys is masked as if there were no window."""

    def outside(self, problem: Problem, query: Tensor, key: Tensor, window: tuple[Side, Side]) -> Tensor:
        hidden = super().outside(problem, query, key, window)
        return hidden & (int(key[-1]) < problem.key_length - 1)


@plant("window")
class WindowForgottenOnFirstTile(VariantLoop):
    """The first tile of the window is attended to whole, as if the window began with it (vLLM #30887)."""

    def outside(self, problem: Problem, query: Tensor, key: Tensor, window: tuple[Side, Side]) -> Tensor:
        left, right = window
        first = max(int(query[0]) + self.center(problem) - (left or 0), 0) // self.key_tile * self.key_tile
        return super().outside(problem, query, key, (None if int(key[0]) == first else left, right))


@plant("window")
class WindowTilesOfLastRow(VariantLoop):
    """Tiles of keys are skipped that lie before the window of the last row of a tile of queries (FlashInfer #3682)."""

    def key_start(self, problem: Problem, rows: range) -> int:
        return super().key_start(problem, rows[-1:])


@plant("causal diagonal")
class WindowWithoutCausal(VariantLoop):
    """The causal mask is forgotten where there is a window."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        later = super().later(problem, query, key)
        return later if self.variant(problem, WindowSize) is None else torch.zeros_like(later)
