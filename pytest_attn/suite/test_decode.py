"""A few new queries against a KV cache."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="decode", group="decode_contiguous")
def test_decode_contiguous(attn: Attn) -> None:
    """Every sequence fills its cache: groups of 1 to 8 query heads, 1 to 4097 keys."""
    attn.check()


@pytest_attn.parametrize(sweep="decode", group="decode_key_lengths")
def test_decode_key_lengths(attn: Attn) -> None:
    """Sequences of unequal length, some of one key, some of none."""
    attn.check()


@pytest_attn.parametrize(sweep="decode", group="decode_paged")
def test_decode_paged(attn: Attn) -> None:
    """Pages of 16 and 128 keys, in random order."""
    attn.check()


@pytest_attn.parametrize(sweep="decode", group="decode_sequence")
def test_decode_sequence(attn: Attn) -> None:
    """Calls in a row of which each has another window, cap, bias, table or lengths under the same shapes."""
    attn.check()
