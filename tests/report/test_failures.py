"""Failed cells by cause: what is one cause, what two are, and what is printed of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.problem.case import Case
from pytest_attn.records.case_fields import fields_of
from pytest_attn.records.record import Record
from pytest_attn.report.failures import failure_lines, failures_of

LOST = Diagnosis("lost keys", "key 256 is not attended to")
RMS = Finding(what="out_row_rms", tensor="out", words="row RMS 114 x the rounding error", figure=114.0, limit=3)


def record(length: int, outcome: Any = "failed", **changes: Any) -> Record:
    case = Case(length, length, **changes.pop("case", {}))
    plain = Record(
        case=case.id,
        kernel="k.py:k",
        outcome=outcome,
        fields=fields_of(case),
        flops=length**2,
        findings=(RMS,) if outcome == "failed" else (),
        reproduce=f"pytest --attn-case={case.id}" if outcome == "failed" else "",
    )
    return replace(plain, **changes)


def test_cells_whose_diagnosis_names_one_kind_are_one_cause() -> None:
    (group,) = failures_of([record(300, diagnosis=LOST), record(200, diagnosis=Diagnosis("lost keys", "key 128 ..."))])
    assert [each.flops for each in group.records] == [200**2, 300**2]
    assert group.cause == "key 128 ..."


def test_what_one_bug_is_called_at_other_sizes_is_one_cause() -> None:
    (group,) = failures_of([record(300, diagnosis=LOST), record(65, diagnosis=Diagnosis("tail", "the last tile"))])
    assert len(group.records) == 2


def test_two_bugs_are_two_causes() -> None:
    base2 = Diagnosis("lse base", "lse is in base 2")
    groups = failures_of([record(200, diagnosis=base2), *(record(n, diagnosis=LOST) for n in (300, 400))])
    assert [(group.kind, len(group.records)) for group in groups] == [("lost keys", 2), ("lse base", 1)]


def test_what_no_diagnosis_explains_is_counted_to_none() -> None:
    groups = failures_of([*(record(n, diagnosis=LOST) for n in (300, 400)), record(100)])
    assert [(group.kind, len(group.records)) for group in groups] == [("lost keys", 2), ("", 1)]
    assert any("no single bug accounts for these, such as out: row RMS 114" in line for line in _lines(groups))


def test_exceptions_of_the_same_words_are_one_cause_whatever_their_numbers() -> None:
    raised = [Finding(what="raised", words=f"the kernel raised ValueError: no {n} tiles (k.py:7)") for n in (3, 40)]
    other = Finding(what="raised", words="the kernel raised KeyError: 'scale' (k.py:9)")
    records = [record(n, findings=(finding,)) for n, finding in enumerate((*raised, other), start=5)]
    assert [len(group.records) for group in failures_of(records)] == [2, 1]


def test_kernels_are_not_mixed() -> None:
    groups = failures_of([record(300, diagnosis=LOST), record(300, diagnosis=LOST, kernel="other")])
    assert [group.kernel for group in groups] == ["k.py:k", "other"]


def test_the_end_of_a_red_run_names_how_many_the_cause_where_the_smallest_and_its_command() -> None:
    green = [record(length, "passed") for length in (10, 20, 64, 128)]
    red = [record(length, diagnosis=LOST) for length in (129, 257, 300, 400)]
    assert failure_lines([*green, *red]) == [
        "4 of 8 cells are red [k.py:k]: 1 cause",
        "  4 x key 256 is not attended to",
        "      up to 128 keys: all 4 green; up to 128 queries: all 4 green",
        f"      smallest: {red[0].case}",
        f"      pytest --attn-case={red[0].case}",
    ]


def test_a_cell_that_was_shrunk_is_named_by_the_smallest_case_and_its_command() -> None:
    shrunk = record(400, diagnosis=LOST, smallest="b1-h1-s129-d1-float32-out-exact")
    lines = failure_lines([shrunk, record(300, diagnosis=LOST)])
    assert lines[-2] == f"      smallest: {shrunk.smallest}, shrunk from {shrunk.case}"
    assert lines[-1] == f"      pytest --attn-case={shrunk.smallest}"


def test_a_green_run_says_nothing() -> None:
    assert failure_lines([record(64, "passed"), record(64, "not claimed")]) == []


def test_a_cause_of_any_length_is_one_short_line() -> None:
    long = Finding(what="raised", words="the kernel raised ValueError: " + "matrix\n" * 1000)
    assert max(map(len, failure_lines([record(64, findings=(long,))]))) < 260


def test_many_causes_are_counted() -> None:
    words = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
    records = [record(64 + n, findings=(Finding(what="raised", words=word),)) for n, word in enumerate(words)]
    assert failure_lines(records)[-1] == "  and 2 causes more, 2 cells"


def _lines(groups: Any) -> list[str]:
    return failure_lines([each for group in groups for each in group.records])
