"""What explained a failure before is tried first, unless it fits what something more specific explains."""

from __future__ import annotations

from pytest_attn.diagnosis.diagnose import GENERAL, HYPOTHESES
from pytest_attn.diagnosis.keys import attended_keys
from pytest_attn.diagnosis.known import Known
from pytest_attn.diagnosis.noise import rounding
from pytest_attn.diagnosis.scale import softmax_scale


def test_nothing_is_known_at_first() -> None:
    assert Known().first(HYPOTHESES) == [*HYPOTHESES]


def test_the_latest_that_named_a_bug_comes_first_and_none_is_lost() -> None:
    known = Known()
    for hypothesis in (softmax_scale, attended_keys, softmax_scale):
        known.add(hypothesis)
    ordered = known.first(HYPOTHESES)
    assert ordered[:2] == [softmax_scale, attended_keys]
    assert sorted(ordered, key=HYPOTHESES.index) == [*HYPOTHESES]


def test_one_that_fits_anything_keeps_its_place() -> None:
    known = Known(GENERAL)
    known.add(rounding)
    assert known.first(HYPOTHESES) == [*HYPOTHESES]


def test_one_of_another_kind_of_problem_is_not_tried() -> None:
    known = Known()
    known.add(attended_keys)
    assert known.first((softmax_scale,)) == [softmax_scale]
