"""The schema of a run document, and its tables for people."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("run-document.schema.json")

LINES = ("run", "kernel", "record", "measurement", "decision", "end")
PARTS = ("finding", "place", "diagnosis", "source")
"""Objects within lines."""


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of one line of a run document."""
    found: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return found


def schema_tables() -> str:
    """A Markdown table of the fields of every kind of line, and of the objects within."""
    return "\n".join(_table(name) for name in (*LINES, *PARTS))


def _table(name: str) -> str:
    described = schema()["$defs"][name]
    title = f"#### `{name}`\n\n{described['description']}\n\n| field | type | meaning |\n|---|---|---|\n"
    rows = [_row(field, of) for field, of in described["properties"].items() if field != "kind"]
    return title + "".join(rows)


def _row(field: str, of: dict[str, Any]) -> str:
    return f"| `{field}` | {_type(of)} | {of['description']} |\n"


def _type(of: dict[str, Any]) -> str:
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return name if name == "number" else f"`{name}`"
    if "anyOf" in of:
        return " or ".join(_type(each) for each in of["anyOf"])
    if "enum" in of or "const" in of:
        return " ".join(f"`{word}`" if word != "" else "empty" for word in of.get("enum", [of.get("const")]))
    if of["type"] == "array":
        return f"list of {_type(of['items'])}" if "type" in of["items"] or "$ref" in of["items"] else "list"
    return " or ".join(of["type"]) if isinstance(of["type"], list) else str(of["type"])
