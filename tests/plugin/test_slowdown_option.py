"""`--attn-slowdown` and the marker `attn_slowdown`: the change that matters."""

from __future__ import annotations

import pytest
from gated_project import OWN, SLOW, GatedProject


@pytest.fixture
def gated(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> GatedProject:
    """A project whose kernel takes 4 ms, one benchmark 15 % more than before."""
    gated = GatedProject(pytester, monkeypatch)
    gated.record()
    gated.slow[SLOW] = 0.15
    return gated


def test_a_smaller_change_than_asked_for_is_nobodys_business(gated):
    gated.run("--attn-gate=strict", "--attn-slowdown=20.5%").assert_outcomes(passed=9)


def test_a_test_has_a_floor_of_its_own(gated):
    marked = OWN.replace("@pytest_attn", "@pytest.mark.attn_slowdown('20%')\n@pytest_attn", 1)
    gated.pytester.makepyfile(test_own=marked)
    gated.run("--attn-gate=strict", "--strict-markers").assert_outcomes(passed=9)


@pytest.mark.parametrize("arguments", ["'much'", "'10'", "", "'1%', '2%'"])
def test_a_marker_that_says_nothing_is_refused_before_anything_is_measured(gated, refusal, arguments):
    marked = OWN.replace("@pytest_attn", f"@pytest.mark.attn_slowdown({arguments})\n@pytest_attn", 1)
    gated.pytester.makepyfile(test_own=marked)
    told = refusal("test_own.py", "--attn-kernel=eager", "--attn-gate=strict")
    assert "marker attn_slowdown: " in told


def test_a_percentage_without_its_sign_is_refused(refusal):
    told = refusal("--attn-slowdown=10")
    assert told == "--attn-slowdown: '10' lacks its percent sign; allowed: 0.1% to 100%, as 5%, 2.5% or 0.05"
