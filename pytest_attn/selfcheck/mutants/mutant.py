"""A mutant: the tile loop with one planted bug."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pytest_attn.problem.kinds import Kind
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

Loop = TypeVar("Loop", bound=type[TileLoop])


@dataclass(frozen=True, slots=True)
class Mutant:
    """A kernel with one planted bug, of a kind that a diagnosis can name.

    `equivalent` is why no result can show the bug; empty for all others, each of which some cell must show.
    """

    kernel: type[TileLoop]
    planted: Kind
    equivalent: str = ""

    @property
    def name(self) -> str:
        """The class name in lower case with hyphens, e.g. "last-tile-unmasked"."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", self.kernel.__name__).lower()

    @property
    def clean(self) -> type[TileLoop]:
        """The correct loop with the mutant's capabilities."""
        loops = [loop for loop in self.kernel.mro() if issubclass(loop, TileLoop)]
        return [loop for loop in loops if loop.capabilities == self.kernel.capabilities][-1]

    @property
    def steps(self) -> frozenset[str]:
        """The steps in which it may differ from the clean loop."""
        mro = self.kernel.mro()
        return frozenset(name for loop in mro[: mro.index(self.clean)] for name in vars(loop))

    @property
    def family(self) -> str:
        """The file that the bug stands in, e.g. "tails"."""
        return self.kernel.__module__.rpartition(".")[2]

    @property
    def bug(self) -> str:
        """What is wrong, in a sentence; in parentheses a project that had the bug, with the issue, pull or merge
        request, or commit."""
        return " ".join((inspect.getdoc(self.kernel) or "").split())


PLANTED: list[Mutant] = []
"""Every mutant whose file has been imported, in the order of the files; `catalog.mutants` imports them all."""


def plant(kind: Kind, *, equivalent: str = "") -> Callable[[Loop], Loop]:
    """Add a class to the catalog as a mutant with a bug of that kind."""

    def add(kernel: Loop) -> Loop:
        PLANTED.append(Mutant(kernel, kind, equivalent))
        return kernel

    return add
