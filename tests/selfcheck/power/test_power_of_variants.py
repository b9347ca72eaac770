"""What the judges see where there are variants, or gradients."""

from __future__ import annotations

import pytest

from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.report.power_table import Power
from pytest_attn.selfcheck.power.clean_variants import clean
from pytest_attn.selfcheck.power.judges import Judges
from pytest_attn.selfcheck.power.power import power_of

TOKENS = ("win9x3", "ragged", "packed", "paged16", "softcap2", "alibi", "bias1x1", "sinks", "paged16-sinks")


def least(power: Power) -> dict[str, float | None]:
    """By defect the least amount that the derived budget sees."""
    return {row.defect: row.least[DERIVED] for row in power.rows}


@pytest.mark.parametrize("token", TOKENS)
def test_the_clean_kernel_of_a_variant_is_right(token: str) -> None:
    problem = Problem.of(Case.parse(f"b3-h2-s20x40-d16-float32-{token}-both-exact"))
    inputs = Inputs.draw(problem, seed=42)
    loop = clean(problem)
    judges = Judges.of(problem, inputs, loop.kernel)
    assert judges.verdict(DERIVED, judges.store(loop.unrounded(problem, inputs))).summary == "right"


def test_a_window_one_key_too_wide_is_seen_and_one_key_dropped_is() -> None:
    seen = least(power_of(Case.parse("b1-h1-s20x40-d16-float32-win9x3-both-exact")))
    assert seen["window_size: left too large by"] == 1
    assert seen["window_size: right too large by"] == 1
    assert seen["keys dropped from every row"] == 1


def test_numbers_and_tensors_of_a_variant_are_scaled() -> None:
    power = power_of(Case.parse("b1-h2-s20x40-d16-float32-softcap2-sinks-both-exact"))
    assert [row.defect for row in power.rows][-2:] == ["softcap times 1 + x", "sinks times 1 + x"]
    assert all(0 < (least(power)[name] or 0) < 1e-3 for name in ("softcap times 1 + x", "sinks times 1 + x"))


def test_pads_do_not_reach_queries_that_no_sequence_has() -> None:
    seen = power_of(Case.parse("b3-h1-s20x40-d16-bfloat16-packed-lse-exact"))
    (leaked,) = (row for row in seen.rows if row.defect == "zero pad keys attended")
    assert leaked.least["allclose-1e-2"] is not None


def test_gradients_have_the_derived_budget_and_defects_of_their_own() -> None:
    power = power_of(Case.parse("b1-h2-kv1-s20x40-d16-float32-causal-grad-exact"))
    assert power.judges == (DERIVED,)
    assert power.red == {}
    seen = least(power)
    assert seen["keys left out of the backward pass"] == 1
    for name in ("dq times 1 + x", "dk times 1 + x", "dv times 1 + x", "delta times 1 + x"):
        assert seen[name] is not None
        assert seen[name] < 1e-4, name


def test_a_backward_pass_of_one_key_drops_none() -> None:
    power = power_of(Case.parse("b1-h1-s20x1-d16-float32-grad-exact"))
    assert power.left_out == {"keys left out of the backward pass": "there is one key"}
