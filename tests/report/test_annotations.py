"""Annotations are GitHub's workflow commands, escaped as its toolkit escapes them."""

from __future__ import annotations

import pytest
from results import decision, failed, gate, passed

from pytest_attn.report.annotations import error_annotations, message_of, property_of
from pytest_attn.report.results import Results


def results(*records, gate=None):
    return Results(folder="out", records=records, gate=gate)


def test_a_failed_cell_is_one_line() -> None:
    assert error_annotations([results(failed(reason="out: 9% off"), passed())]) == (
        "::error title=b1-h1-s64 [k]::b1-h1-s64 [k]: out: 9%25 off%0Areproduce: python -m pytest b1-h1-s64\n"
    )


def test_a_slower_kernel_and_a_faulty_run_are_lines_too() -> None:
    run, slower = error_annotations([results(gate=gate(decision(), baseline=False))]).splitlines()
    assert run.startswith("::error title=the run::no baseline of this machine")
    assert slower.startswith("::error title=slower%3A b1-h2-s1024 [k]::b1-h2-s1024 [k]: slower; 3.2 ms -> 3.6 ms, ")


def test_nothing_that_failed_is_nothing_printed() -> None:
    assert error_annotations([results(passed(), gate=gate(decision("same"), decision("new", "b")))]) == ""


def test_a_reporting_gate_annotates_nothing() -> None:
    assert error_annotations([results(gate=gate(decision(), mode="report", baseline=False))]) == ""


def test_the_ten_worst_are_shown() -> None:
    lines = error_annotations([results(*[failed(f"c{number}", 2.0 + number) for number in range(25)])]).splitlines()
    assert [line.partition("::c")[2].partition(" ")[0] for line in lines] == [f"{24 - rank}" for rank in range(10)]


@pytest.mark.parametrize(
    ("text", "message", "property"),
    [
        ("100%", "100%25", "100%25"),
        ("a\r\nb", "a%0D%0Ab", "a%0D%0Ab"),
        ("a: b, c", "a: b, c", "a%3A b%2C c"),
        ("%0A", "%250A", "%250A"),
    ],
)
def test_escapes_are_those_of_the_toolkit(text: str, message: str, property: str) -> None:
    assert (message_of(text), property_of(text)) == (message, property)
