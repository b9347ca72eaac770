"""A summary says what failed, worst first, in Markdown that GitHub shows as meant and does not refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from results import decision, document, failed, gate, passed, skipped

from pytest_attn.report.markdown import LARGEST, block, code, escaped, headline, markdown
from pytest_attn.report.results import Results


def results(*records, gate=None, folder="out/correctness"):
    return Results(document(*records, gate=gate, source=folder))


def test_a_red_run_reads_from_its_headline_to_the_reproduce_lines() -> None:
    text = markdown([results(failed(), passed(), skipped()), results(gate=gate(decision()), folder="out/latency")])
    assert text == (Path(__file__).parent / "red_run.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (results(passed()), "Nothing failed"),
        (results(passed(), skipped()), "Nothing failed"),
        (results(gate=gate(decision("same"))), "Nothing failed"),
        (results(gate=gate(decision("slower"), mode="report")), "Nothing failed"),
        (results(), "Nothing was judged"),
        (results(skipped()), "Nothing was judged"),
        (results(gate=gate(mode="report", baseline=False)), "Nothing was judged"),
        (results(gate=gate(baseline=False)), "1 fault of the run"),
        (
            results(failed(), failed("b"), gate=gate(decision("inconclusive"), decision())),
            "2 failed cells, 1 slower, 1 inconclusive",
        ),
    ],
)
def test_the_headline_counts_what_failed(given: Results, words: str) -> None:
    assert headline([given]) == words


def test_failed_cells_of_all_folders_stand_worst_first() -> None:
    text = markdown([results(failed("mild", 2.0)), results(failed("worst", 50.0))])
    assert text.index("`worst`") < text.index("`mild`")


def test_the_smallest_failing_case_is_named() -> None:
    assert "Smallest failing case: `b1-h1-s1`" in markdown([results(failed(smallest="b1-h1-s1"))])


def test_a_summary_beyond_the_limit_ends_in_whole_rows_and_says_how_many_it_lacks() -> None:
    cells = [failed(f"case-{number:05}", why="ü" * 300) for number in range(4000)]
    decisions = [decision("same", f"timed-{number:05}", reason="steady") for number in range(9000)]
    text = markdown([results(*cells, *[skipped()] * 5, gate=gate(*decisions))])
    assert 0.95 * LARGEST < len(text.encode()) <= LARGEST
    shown = text.count("python -m pytest case-")
    assert f"\n{4000 - shown} more failed cells are left out.\n" in text
    assert text.count("```") == 2 * shown
    assert f"\n{9000 - text.count('| same |')} more benchmarks are left out.\n" in text
    assert "claimed 4000 of 4005" in text


def test_counts_keep_their_place_beside_many_decisions() -> None:
    decisions = [decision("same", f"timed-{number:05}") for number in range(12000)]
    text = markdown([results(skipped(), gate=gate(*decisions))])
    assert len(text.encode()) <= LARGEST
    rows = [line for line in text.splitlines() if line.startswith("| same |")]
    assert 0 < len(rows) < 12000
    assert all(line.count(" | ") == 8 and line.endswith(" |") for line in rows)
    assert f"\n{12000 - len(rows)} more benchmarks are left out.\n" in text
    assert "| 1 | not claimed: causal |" in text


def test_one_endless_reason_does_not_hide_the_others() -> None:
    text = markdown([results(failed("endless", 9.0, why="x" * 2_000_000), failed("short"))])
    assert "`short`" in text
    assert "left out" not in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a | b", r"a \| b"),
        ("<class 'X'>", r"\<class 'X'\>"),
        ("two\nlines", "two lines"),
        ("q_k *v* `w` [x] $y$ #1", r"q\_k \*v\* \`w\` \[x\] \$y\$ \#1"),
    ],
)
def test_text_is_shown_as_it_is(given: str, shown: str) -> None:
    assert escaped(given) == shown


@pytest.mark.parametrize(("given", "shown"), [("k", "`k`"), ("a|b", r"`a\|b`"), ("a`b", "`` a`b ``")])
def test_code_spans_hold_whatever_a_name_holds(given: str, shown: str) -> None:
    assert code(given) == shown


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert block("echo ```") == "````sh\necho ```\n````\n"
