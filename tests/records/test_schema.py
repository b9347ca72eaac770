"""The schema says of every line what it is, and is held against the lines that are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from lines import ALL, DECISION, RECORD, START

from pytest_attn.records.document import READERS, SCHEMA_VERSION, as_line
from pytest_attn.records.schema import LINES, PARTS, SCHEMA_FILE, schema, schema_tables
from pytest_attn.records.wire import encoded

VALIDATOR = Draft202012Validator(schema())


def plain(content: Any) -> dict[str, Any]:
    """A line as JSON holds it."""
    found: dict[str, Any] = json.loads(json.dumps(encoded(as_line(content))))
    return found


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("content", ALL, ids=lambda content: type(content).__name__)
def test_every_line_that_is_written_is_valid(content: Any) -> None:
    VALIDATOR.validate(plain(content))


@pytest.mark.parametrize("content", ALL, ids=lambda content: type(content).__name__)
def test_every_field_that_is_written_is_described(content: Any) -> None:
    line = plain(content)
    assert set(line) == set(schema()["$defs"][line["kind"]]["properties"])


def test_the_parts_of_a_record_are_described() -> None:
    finding, described = plain(RECORD)["findings"][0], schema()["$defs"]
    assert set(finding) == set(described["finding"]["properties"])
    assert set(finding["place"]) == set(described["place"]["properties"])
    assert set(plain(RECORD)["diagnosis"]) == set(described["diagnosis"]["properties"])
    assert set(plain(RECORD)["source"]) == set(described["source"]["properties"])


@pytest.mark.parametrize(
    "wrong",
    [
        plain(START) | {"schema": 3},
        plain(RECORD) | {"outcome": "fine"},
        plain(RECORD) | {"findings": [{}]},
        plain(RECORD) | {"figures": {"a": None}},
        plain(DECISION) | {"interval": [1.0]},
        {"kind": "energy"},
        {name: value for name, value in plain(RECORD).items() if name != "case"},
    ],
)
def test_what_is_no_line_is_invalid(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(wrong)


def test_every_kind_has_a_reader_and_the_version_is_that_of_the_schema() -> None:
    assert tuple(READERS) == LINES
    assert schema()["$defs"]["run"]["properties"]["schema"]["const"] == SCHEMA_VERSION


def test_the_tables_name_every_field() -> None:
    tables = schema_tables()
    for name in (*LINES, *PARTS):
        for field in schema()["$defs"][name]["properties"]:
            assert field == "kind" or f"| `{field}` | " in tables


def test_a_line_passes_the_tool_that_users_have(tmp_path: Path) -> None:
    files = []
    for number, content in enumerate(ALL):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(plain(content)))
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA_FILE), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_case_is_there_field_by_field() -> None:
    described = schema()["$defs"]["record"]["properties"]["fields"]["description"]
    assert all(name in described for name in RECORD.fields)
