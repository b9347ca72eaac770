"""Small cells at the edges of tiles, with inputs that make bugs visible."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="boundary", group="boundary_output")
def test_boundary_output(attn: Attn) -> None:
    """The output alone, as many key heads as query heads: what every kernel can be judged on."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_dense")
def test_boundary_dense(attn: Attn) -> None:
    """No mask: what a wrong tail cannot hide behind."""
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


@pytest_attn.parametrize(sweep="boundary", group="boundary_strided")
def test_boundary_strided(attn: Attn) -> None:
    """Query, key and value each with an order of its dimensions and gaps of its own."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_again")
def test_boundary_again(attn: Attn) -> None:
    """The same problem again: the same bits where the kernel claims so, right in any case."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_sequence")
def test_boundary_sequence(attn: Attn) -> None:
    """Calls in a row that differ in data, scale, mask, strides or length: nothing of an earlier one is left."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_relations")
def test_boundary_relations(attn: Attn) -> None:
    """The kernel against its own results on related inputs: permuted, shifted, split, hidden, summed."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_float64")
def test_boundary_float64(attn: Attn) -> None:
    """Inputs of float64, where the kernel claims them: sums and exponential are in it too."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_self_attention")
def test_boundary_self_attention(attn: Attn) -> None:
    """A causal mask over as many queries as keys, at every residue to the usual tiles, for every dtype."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_head_dims")
def test_boundary_head_dims(attn: Attn) -> None:
    """Every head dimension in strided memory, called again, in sequences, in every relation, decoding, and long."""
    attn.check()


@pytest_attn.parametrize(sweep="boundary", group="boundary_head_dims_variants")
def test_boundary_head_dims_variants(attn: Attn) -> None:
    """Every head dimension with every variant, at one query and at many."""
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
