"""Output and log-sum-exp of one call, of the published BSA suite: 320 cells."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="bsa-joint", group="joint_attn_and_lse_dense")
def test_joint_attn_and_lse_dense(attn: Attn) -> None:
    """Dense, both half types."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-joint", group="joint_attn_and_lse_sparse")
def test_joint_attn_and_lse_sparse(attn: Attn) -> None:
    """One head, random kept blocks."""
    attn.check()
