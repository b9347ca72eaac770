"""Gradients of query, key and value."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="backward", group="backward_dense")
def test_backward_dense(attn: Attn) -> None:
    """No mask: tails, heads, dims and scales; outputs' gradients drawn and one-hot."""
    attn.check()


@pytest_attn.parametrize(sweep="backward", group="backward_causal")
def test_backward_causal(attn: Attn) -> None:
    """Both alignments: rows that see no key, and keys that no row sees, have gradients of exactly 0."""
    attn.check()


@pytest_attn.parametrize(sweep="backward", group="backward_block_sparse")
def test_backward_block_sparse(attn: Attn) -> None:
    """Kept blocks of unequal sizes, with partial last blocks."""
    attn.check()


@pytest_attn.parametrize(sweep="backward", group="backward_window")
def test_backward_window(attn: Attn) -> None:
    """Windows on both sides, on one, and of no key to the left."""
    attn.check()


@pytest_attn.parametrize(sweep="backward", group="backward_ragged")
def test_backward_ragged(attn: Attn) -> None:
    """Padded and packed batches: padding has gradients of exactly 0."""
    attn.check()


@pytest_attn.parametrize(sweep="backward", group="backward_long")
def test_backward_long(attn: Attn) -> None:
    """1024 queries and keys: many tiles in both directions."""
    attn.check()
