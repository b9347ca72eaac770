"""A document is read back as it was written, as far as it was written, and what is none is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lines import ALL, DECISION, END, MEASUREMENT, PASSED, RECORD, SKIPPED, START

from pytest_attn.records.document import FILE, DocumentFile, as_line, of_line, read_document
from pytest_attn.records.wire import encoded, line_of


def written(folder: Path, *contents: Any) -> Path:
    """A document in a folder, as a run writes it."""
    file = DocumentFile(folder)
    for content in contents:
        file.write(content)
    file.close()
    return folder


@pytest.mark.parametrize("content", ALL, ids=lambda content: type(content).__name__)
def test_a_line_comes_back_as_it_was(content: Any) -> None:
    plain = json.loads(line_of(as_line(content)))
    assert repr(of_line(plain)) == repr(content)  # NaN is not equal to itself


def test_a_document_comes_back_in_its_parts(tmp_path: Path) -> None:
    found = read_document(written(tmp_path, *ALL))
    assert (found.start, found.decisions, found.end) == (START, (DECISION,), END)
    assert found.records == (RECORD, PASSED, SKIPPED)
    assert repr(found.measurements) == repr((MEASUREMENT,))
    assert found.complete
    assert found.failed == (RECORD,)


def test_a_file_is_read_as_its_folder_is(tmp_path: Path) -> None:
    written(tmp_path, START, SKIPPED, END)
    assert read_document(tmp_path / FILE).records == read_document(tmp_path).records


def test_each_line_is_there_once_it_is_written(tmp_path: Path) -> None:
    file = DocumentFile(tmp_path)
    file.write(START)
    file.write(SKIPPED)
    assert read_document(tmp_path).records == (SKIPPED,)
    assert not read_document(tmp_path).complete
    file.close()


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, START, SKIPPED, RECORD) / FILE
    path.write_bytes(path.read_bytes()[:-40])
    found = read_document(tmp_path)
    assert found.records == (SKIPPED,)
    assert found.end is None


def test_a_new_document_replaces_an_earlier_one(tmp_path: Path) -> None:
    written(tmp_path, START, RECORD, END)
    DocumentFile(tmp_path).close()
    assert (tmp_path / FILE).read_text() == ""


def test_a_document_without_its_first_line_is_refused(tmp_path: Path) -> None:
    DocumentFile(tmp_path).close()
    with pytest.raises(ValueError, match=r"attn-run.jsonl|empty; a run writes its first line when it starts"):
        read_document(tmp_path)


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"attn-run.jsonl is not there; allowed: a folder of --attn-output"):
        read_document(tmp_path)


def test_kinds_and_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, START) / FILE
    later = {"kind": "energy", "joules": 3}, as_line(SKIPPED) | {"joules": 3}
    path.write_text(path.read_text() + "".join(line_of(plain) for plain in later))
    assert read_document(tmp_path).records == (SKIPPED,)


FIRST = json.dumps(encoded(as_line(START)))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", ":2: corrupt, not JSON ("),
        ("[]", ":2: a line without a kind: []"),
        ('{"kind": "record", "case": 3}', ":2: "),
        ("[" * 100_000, ":2: nested too deeply"),
        (json.dumps(encoded(as_line(SKIPPED)) | {"outcome": "fine"}), ":2: "),
        (json.dumps(encoded(as_line(SKIPPED)) | {"figures": {"a": "1"}}), ":2: "),
        (json.dumps(encoded(as_line(DECISION)) | {"word": "slow"}), ":2: unknown word 'slow'; allowed: same, "),
        (FIRST, ": two runs in one document; allowed: a file for each"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text(f"{FIRST}\n{line}\n")
    with pytest.raises(ValueError, match=r"\w") as refused:
        read_document(path)
    assert str(refused.value).startswith(f"{path}{sentence}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (FIRST.replace('"schema": 2', '"schema": 3'), "schema 3, this version reads up to 2; update pytest-attn"),
        (FIRST.replace('"schema": 2', '"schema": "2"'), "schema is '2', expected a whole number"),
        ('{"kind": "end"}', "its first line is no run, so not a run document"),
        ('{"case": "b1"}', "its first line is no run, so not a run document"),
    ],
)
def test_a_foreign_or_newer_document_is_refused_in_a_sentence(first: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text(first + "\n")
    with pytest.raises(ValueError, match=r"\w") as refused:
        read_document(tmp_path)
    assert str(refused.value) == f"{path}: {sentence}"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"attn-run.jsonl: cannot be read"):
        read_document(tmp_path)


def test_the_prose_of_a_record_is_rendered_from_its_data() -> None:
    assert RECORD.reason == (
        "window_size is not claimed, and there are numbers: second call: lse: off by -0.208, limit 9.5e-05, batch 1, "
        "head 3, rows 128-255 (7 of 2048 rows over the limit); out: RMS nan; looks like: key 256 is not attended "
        "to, or the last tile is not read"
    )
    assert SKIPPED.reason == "not claimed: window_size"
    assert PASSED.reason == ""
