"""The streaming engine with other tiles than its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_attn.oracles import key_block_lse, slabs, streaming


@contextmanager
def tiles(rows: int, keys: int, together: int = slabs.TOGETHER) -> Iterator[None]:
    """Tiles of this size, and so many scores of several heads together."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (slabs, streaming):
            patch.setattr(module, "TILE_ROWS", rows)
            patch.setattr(module, "TILE_KEYS", keys)
            patch.setattr(module, "TOGETHER", together)
        patch.setattr(key_block_lse, "TILE_KEYS", keys)
        yield
