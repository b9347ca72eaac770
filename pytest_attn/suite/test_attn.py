"""The output of the published BSA suite: 2560 cells, of which 28 cannot exist."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="bsa-attn", group="attn_vs_pfa")
def test_attn_vs_pfa(attn: Attn) -> None:
    """1 to 4 heads at 24000 and 36000 tokens, sparsity 0 to 0.9."""
    attn.check()


@pytest_attn.parametrize(sweep="bsa-attn", group="attn_vs_pfa_framed")
def test_attn_vs_pfa_framed(attn: Attn) -> None:
    """The same inside a frame that is always kept."""
    attn.check()
