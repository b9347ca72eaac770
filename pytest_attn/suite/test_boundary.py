"""Small cells at the edges of tiles, with inputs that make bugs visible."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="boundary", group="boundary_dense")
def test_boundary_dense(attn: Attn) -> None:
    """No mask: what a wrong tail cannot hide behind; called again, in sequences, and against related results."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_causal")
def test_boundary_causal(attn: Attn) -> None:
    """The last query sees every key; with more queries than keys, some rows see none."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_causal_top_left")
def test_boundary_causal_top_left(attn: Attn) -> None:
    """The first query sees the first key; with more keys than queries, some keys are never seen."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_block_sparse")
def test_boundary_block_sparse(attn: Attn) -> None:
    """Kept blocks of unequal sizes, with partial last blocks and frames."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_block_sparse_causal")
def test_boundary_block_sparse_causal(attn: Attn) -> None:
    """Keys that a block mask and a causal mask both allow."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_head_dims")
def test_boundary_head_dims(attn: Attn) -> None:
    """Every head dimension in decoding, and at 1000 queries and more."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_many_keys")
def test_boundary_many_keys(attn: Attn) -> None:
    """Up to 16 queries; keys on both sides of 512, 1024 and so on to 131072."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_many_keys_variants")
def test_boundary_many_keys_variants(attn: Attn) -> None:
    """Each variant at key lengths beyond 512, 1024 and so on to 131072."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_many_queries")
def test_boundary_many_queries(attn: Attn) -> None:
    """Up to 65601 queries with few keys, with each variant."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_long_causal")
def test_boundary_long_causal(attn: Attn) -> None:
    """A causal mask of 1023 to 4097 queries and as many keys."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_prefill")
def test_boundary_prefill(attn: Attn) -> None:
    """600 or 1100 queries and as many keys, with each mask, group, form of memory and variant."""
    attn.check()
