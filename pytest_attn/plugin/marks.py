"""The decorator that gives a test the cells of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., object])

CELLS = "attn_cells"
"""The marker that carries sweep and group."""

SLOWDOWN = "attn_slowdown"
"""The marker that gives one test its own floor."""


def parametrize(sweep: str, group: str | None = None) -> Callable[[Test], Test]:
    """Run a test once for each cell of a sweep, or of one group of it, and for each kernel.

    The test takes any of the fixtures `attn`, `problem`, `kernel`, `device`, `dtype`, `block_shape`, `frame_widths`.
    """

    def mark(test: Test) -> Test:
        # usefixtures gives the cell to a test that names none of our fixtures, too.
        marked: Test = pytest.mark.usefixtures("attn_cell")(getattr(pytest.mark, CELLS)(sweep=sweep, group=group)(test))
        return marked

    return mark
