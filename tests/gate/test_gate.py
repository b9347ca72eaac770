"""A gate is red for what slowed, for what could not be told, and for a run that measured nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_attn.gate.gate import WORDS, Gate, RunFacts, run_failures
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision, Word


def decision(word: Word, ratio: float = 1.0) -> Decision:
    return Decision(id=BenchmarkId(f"case-{word}", "k"), word=word, ratio=ratio, floor=0.05)


MEASURED = RunFacts(collected=2, measured=2)


@pytest.mark.parametrize("word", ["slower", "gone", "inconclusive", "foreign", "suspicious"])
def test_a_strict_gate_fails_on(word: Word) -> None:
    gate = Gate.of("strict", [decision("same"), decision(word)], MEASURED)
    assert [each.word for each in gate.failing] == [word]
    assert not gate.passed


def test_what_is_inconclusive_and_tolerated_passes_and_is_counted() -> None:
    gate = Gate.of("strict", [decision("same"), replace(decision("inconclusive"), tolerated=True)], MEASURED)
    assert gate.passed
    assert gate.claim == "inconclusive 1 | same 1"


def test_a_run_that_decided_nothing_says_so_before_all_else() -> None:
    found = [replace(decision("inconclusive"), id=BenchmarkId(name, "k"), tolerated=True) for name in "ab"]
    claim = Gate.of("strict", found, MEASURED).claim
    assert claim == "no speed was decided: all 2 benchmarks are inconclusive | inconclusive 2"


def test_a_baseline_that_cannot_be_read_is_told_in_place_of_none() -> None:
    (sentence,) = run_failures(RunFacts(collected=2, measured=2, baseline=False, fault="a.json: corrupt"))
    assert sentence == "nothing was compared: a.json: corrupt"


@pytest.mark.parametrize("word", ["same", "faster", "new"])
def test_a_strict_gate_passes_on(word: Word) -> None:
    assert Gate.of("strict", [decision(word)], MEASURED).passed


@pytest.mark.parametrize("word", WORDS)
def test_a_reporting_gate_fails_on_nothing(word: Word) -> None:
    gate = Gate.of("report", [decision(word)], MEASURED)
    assert gate.passed
    assert not gate.failing


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"collected": 0, "measured": 0}, "no latency test was collected"),
        ({"collected": 3, "measured": 0, "skipped": 3}, "all 3 latency tests were skipped"),
        ({"collected": 3, "measured": 0, "skipped": 1, "failed": 2}, "nothing was timed, of 3"),
        ({"collected": 3, "measured": 0, "disabled": True}, "--benchmark-disable"),
        ({"collected": 3, "measured": 3, "baseline": False}, "no baseline of this machine"),
    ],
)
def test_a_run_that_says_nothing_is_red_with_a_sentence(facts: dict[str, Any], words: str) -> None:
    (sentence,) = run_failures(RunFacts(**facts))
    assert words in sentence
    assert not Gate.of("strict", [], RunFacts(**facts)).passed


def test_a_run_that_measured_has_nothing_against_it() -> None:
    assert run_failures(MEASURED) == ()


def test_the_worst_stand_first() -> None:
    gate = Gate.of("strict", [decision("same"), decision("slower", 1.1), decision("slower", 1.3)], MEASURED)
    assert [(each.word, each.ratio) for each in gate.decisions] == [("slower", 1.3), ("slower", 1.1), ("same", 1.0)]
    assert gate.claim == "slower 2 | same 1"


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown mode 'loud'; allowed: report, strict"):
        Gate.of("loud", [], MEASURED)  # type: ignore[arg-type]
