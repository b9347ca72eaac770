"""A few cells of every kind of problem, at boundary shapes."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="smoke", group="smoke_output")
def test_smoke_output(attn: Attn) -> None:
    """The output alone, another path for a kernel that has the LSE."""
    attn.check()


@pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
def test_smoke_dense(attn: Attn) -> None:
    """Lengths of 1, of a tile, and one beside it."""
    attn.check()


@pytest_attn.parametrize(sweep="smoke", group="smoke_causal")
def test_smoke_causal(attn: Attn) -> None:
    """Both alignments, with more queries than keys and fewer."""
    attn.check()


@pytest_attn.parametrize(sweep="smoke", group="smoke_grouped_heads")
def test_smoke_grouped_heads(attn: Attn) -> None:
    """Groups of 3, 4 and 7 query heads to a key head."""
    attn.check()


@pytest_attn.parametrize(sweep="smoke", group="smoke_head_dim")
def test_smoke_head_dim(attn: Attn) -> None:
    """Head dimensions from 16 to 256, and values of another one."""
    attn.check()


@pytest_attn.parametrize(sweep="smoke", group="smoke_scale")
def test_smoke_scale(attn: Attn) -> None:
    """Softmax scales that are not 1 / sqrt(head_dim)."""
    attn.check()


@pytest_attn.parametrize(sweep="smoke", group="smoke_block_sparse")
def test_smoke_block_sparse(attn: Attn) -> None:
    """Kept blocks with partial last blocks, two heads, every dtype."""
    attn.check()


@pytest_attn.parametrize(sweep="smoke", group="smoke_zero_input")
def test_smoke_zero_input(attn: Attn) -> None:
    """All inputs zero, against closed forms."""
    attn.check()
