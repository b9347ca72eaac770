"""The cases that `--attn-case` names, in or outside the sweeps."""

import pytest_attn
from pytest_attn.plugin.attn import Attn
from pytest_attn.plugin.selection import CASES_GIVEN


@pytest_attn.parametrize(sweep="", group=CASES_GIVEN)
def test_case(attn: Attn) -> None:
    """One case, as its id says."""
    attn.check()
