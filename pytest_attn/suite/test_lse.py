"""The log-sum-exp of the published BSA suite: 1600 cells, of which 125 cannot exist."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="bsa-lse", group="lse_vs_fias")
def test_lse_vs_fias(attn: Attn) -> None:
    """Dense, both half types, against the operator that returns the same quantity."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-lse", group="lse_vs_fias_sparse")
def test_lse_vs_fias_sparse(attn: Attn) -> None:
    """One head, random kept blocks."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-lse", group="lse_vs_fias_sparse_framed")
def test_lse_vs_fias_sparse_framed(attn: Attn) -> None:
    """One head, random kept blocks inside a frame that is always kept."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-lse", group="lse_sparse_multihead")
def test_lse_sparse_multihead(attn: Attn) -> None:
    """Several heads, each with kept blocks of its own, against a Python loop over them."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-lse", group="lse_zero_input")
def test_lse_zero_input(attn: Attn) -> None:
    """All inputs zero: the LSE is log(S)."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-lse", group="lse_shape_and_dtype")
def test_lse_shape_and_dtype(attn: Attn) -> None:
    """[B, H, S] float32, with the right values."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-lse", group="lse_disabled_returns_empty")
def test_lse_disabled_returns_empty(attn: Attn) -> None:
    """Not asked for, no LSE comes back, and the output is right all the same."""
    attn.check()
