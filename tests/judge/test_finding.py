"""A finding: how it reads, that it survives JSON, and what is refused as one."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from pytest_attn.judge.verdict.finding import Finding, Place

WORST = Place(which="worst", batch=2, head=1, rows=(896, 1023), count=3, of=4096, batches=4)
FIRST = Place(which="first", batch=0, head=1, rows=(5, 5), count=2, of=128)
EXAMPLE = Place(which="example", batch=0, head=0, rows=(7, 7))

ROW_RMS = Finding(
    what="out_row_rms",
    tensor="out",
    words="row RMS 12.3 x the rounding error expected, limit 4.56",
    figure=12.3456,
    limit=4.5678,
    place=WORST,
)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (WORST, "batch 2, head 1, rows 896-1023 (3 of 4096 rows over the limit)"),
        (replace(WORST, batch=0, batches=1), "head 1, rows 896-1023 (3 of 4096 rows over the limit)"),
        (replace(WORST, rows=(9, 9)), "batch 2, head 1, row 9 (3 of 4096 rows over the limit)"),
        (FIRST, "first at batch 0, head 1, row 5"),
        (EXAMPLE, "at batch 0, head 0, row 7"),
    ],
)
def test_a_place_reads_as_where_it_is(place: Place, words: str) -> None:
    assert place.words == words


@pytest.mark.parametrize(
    ("finding", "phrase"),
    [
        (Finding(what="raised", words="the kernel raised"), "the kernel raised"),
        (Finding(what="shape", tensor="out", words="shape [1], expected [2]"), "out: shape [1], expected [2]"),
        (
            ROW_RMS,
            "out: row RMS 12.3 x the rounding error expected, limit 4.56, "
            "batch 2, head 1, rows 896-1023 (3 of 4096 rows over the limit)",
        ),
        (
            Finding(what="finite", tensor="lse", words=f"not finite in {FIRST.share}", place=FIRST),
            "lse: not finite in 2 of 128 rows, first at batch 0, head 1, row 5",
        ),
        (
            Finding(
                what="again",
                tensor="lse",
                words=f"{FIRST.share} differ",
                place=FIRST,
                rest=" from it",
                part="twice",
            ),
            "twice: lse: 2 of 128 rows differ, first at batch 0, head 1, row 5 from it",
        ),
        (
            Finding(
                what="reference",
                part="reference",
                tensor="out",
                names_tensor=True,
                words="out is 0",
                place=EXAMPLE,
                rest=", where it should reach 2",
            ),
            "reference: out is 0 at batch 0, head 0, row 7, where it should reach 2",
        ),
    ],
)
def test_a_finding_reads_as_part_tensor_words_and_place(finding: Finding, phrase: str) -> None:
    assert finding.phrase == phrase


def test_parts_stand_with_the_outermost_first() -> None:
    finding = Finding(what="shape", tensor="out", words="wrong").of("split 2 of 3").of("second call")
    assert finding.part == "second call: split 2 of 3"
    assert finding.phrase == "second call: split 2 of 3: out: wrong"


@pytest.mark.parametrize("finding", [ROW_RMS, ROW_RMS.of("split 2 of 3"), Finding(what="type", words="None")])
def test_a_finding_survives_json(finding: Finding) -> None:
    assert Finding.of_dict(json.loads(json.dumps(finding.as_dict()))) == finding


def test_a_figure_that_is_not_finite_stays_a_float() -> None:
    plain = replace(ROW_RMS, figure=math.inf).as_dict()
    assert plain["figure"] == math.inf
    assert Finding.of_dict(plain).figure == math.inf


def test_a_whole_number_in_json_is_a_float_again() -> None:
    figure = Finding.of_dict({"what": "lse", "words": "off", "figure": 2}).figure
    assert type(figure) is float


def test_fields_of_a_newer_version_are_left_out() -> None:
    plain = ROW_RMS.as_dict()
    assert Finding.of_dict({**plain, "colour": "red", "place": {**plain["place"], "column": 3}}) == ROW_RMS


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (None, "Finding: None is not a mapping of its fields"),
        ({"tensor": "out"}, "Finding: without what, words, which it needs"),
        ({"what": "lse", "words": 3}, "Finding: words is 3; allowed: a text"),
        ({"what": "lse", "words": "off", "figure": "big"}, "Finding: figure is 'big'; allowed: a number"),
        ({"what": "lse", "words": "off", "figure": True}, "Finding: figure is True; allowed: a number"),
        ({"what": "lse", "words": "off", "place": "row 3"}, "Place: 'row 3' is not a mapping of its fields"),
        (
            {"what": "lse", "words": "off", "place": {"which": "worst"}},
            "Place: without batch, head, rows, which it needs",
        ),
        (
            {"what": "lse", "words": "off", "place": {**EXAMPLE.as_dict(), "which": "best"}},
            "Place: which is 'best'; allowed: 'worst', 'first', 'example'",
        ),
        (
            {"what": "lse", "words": "off", "place": {**EXAMPLE.as_dict(), "rows": [1, 2, 3]}},
            "Place: rows is [1, 2, 3]; allowed: tuple[int, int]",
        ),
    ],
)
def test_what_is_no_finding_is_refused_in_one_sentence(plain: object, says: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  # the whole message is compared
        Finding.of_dict(plain)  # type: ignore[arg-type]
    assert str(refusal.value) == says


def test_reading_findings_needs_no_torch() -> None:
    code = "import sys, pytest_attn.judge.verdict.verdict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
