"""The run document: all that one run found out, in one file of JSON lines.

The first line is the run, the last one how it ended; kernels, records, measurements and decisions stand between them in
the order in which they came. `run-document.schema.json` describes a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pytest_attn.bench.measurement import Measurement
from pytest_attn.records.decision import Decision
from pytest_attn.records.declared import Declared
from pytest_attn.records.record import Record
from pytest_attn.records.released import DECISIONS, RECORDS, of_released
from pytest_attn.records.run import RunEnd, RunStart
from pytest_attn.records.wire import line_of

SCHEMA_VERSION = 2
"""Raised when a field changes its meaning or goes away; it stands in the first line."""

FILE = "attn-run.jsonl"
"""The name of the document in the folder of `--attn-output`."""

COPY = "PYTEST_ATTN_COPY"
"""The environment variable that names a folder for a copy of the document, asked for by whoever started the run."""

Content = RunStart | Declared | Record | Measurement | Decision | RunEnd
KINDS: Mapping[str, type[Content]] = {
    "run": RunStart,
    "kernel": Declared,
    "record": Record,
    "measurement": Measurement,
    "decision": Decision,
    "end": RunEnd,
}
READERS: Mapping[str, Callable[[Any], Content]] = {
    "run": RunStart.of_dict,
    "kernel": Declared.of_dict,
    "record": Record.of_dict,
    "measurement": Measurement.of_dict,
    "decision": Decision.of_dict,
    "end": RunEnd.of_dict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one run found out."""

    source: str
    """The file that it was read from, for sentences."""

    start: RunStart
    kernels: tuple[Declared, ...] = ()
    records: tuple[Record, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    decisions: tuple[Decision, ...] = ()
    end: RunEnd | None = None
    """How the run ended; None where it was killed, or still runs."""

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.end is not None and self.end.complete

    @property
    def failed(self) -> tuple[Record, ...]:
        """The cells that failed, in the order in which they ran."""
        return tuple(record for record in self.records if record.outcome == "failed")


def as_line(content: Content) -> dict[str, Any]:
    """A line as plain data, with its kind; the run's with the version of the schema."""
    kind = next(kind for kind, of in KINDS.items() if isinstance(content, of))
    version = {"schema": SCHEMA_VERSION} if kind == "run" else {}
    return {"kind": kind, **version, **content.as_dict()}


def of_line(plain: Any) -> Content | None:
    """The content of `as_line()`; None for a kind of a newer schema. Raises ValueError, one sentence, for what is
    none."""
    kind = plain.get("kind") if isinstance(plain, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"a line without a kind: {plain!r:.60}")
    return READERS[kind](plain) if kind in READERS else None


class DocumentFile:
    """A document that is being written: emptied at the start, a line at a time from then on, each flushed.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines: IO[str] = (folder / FILE).open("w", encoding="utf-8", errors="backslashreplace")
        # What an earlier version left there is no evidence of this run.
        for name in (RECORDS, DECISIONS):
            (folder / name).unlink(missing_ok=True)

    def write(self, content: Content) -> None:
        """Append a line."""
        self._lines.write(line_of(as_line(content)))
        self._lines.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()


def read_document(path: Path) -> Document:
    """The document in a file, or in a folder of `--attn-output`; a last line that was cut off is left out.

    Raises ValueError, one sentence with the file and the line, where it cannot be read, is none, or is of a newer
    schema.
    """
    file = path / FILE if path.is_dir() else path
    if path.is_dir() and not file.exists():
        released = of_released(path)
        if released is None:
            raise ValueError(f"{path}: {FILE} is not there; allowed: a folder of --attn-output")
        start, records, decisions, end = released
        return Document(source=str(path), start=start, records=records, decisions=decisions, end=end)
    return _gathered(str(path), _contents(file))


def _gathered(source: str, contents: Iterator[Content]) -> Document:
    start = next(contents, None)
    if not isinstance(start, RunStart):
        raise ValueError(f"{source}: empty; a run writes its first line when it starts")
    found: dict[type[Content], list[Any]] = {of: [] for of in KINDS.values()}
    for content in contents:
        found[type(content)].append(content)
    if found[RunStart]:
        raise ValueError(f"{source}: two runs in one document; allowed: a file for each")
    return Document(
        source=source,
        start=start,
        kernels=tuple(found[Declared]),
        records=tuple(found[Record]),
        measurements=tuple(found[Measurement]),
        decisions=tuple(found[Decision]),
        end=found[RunEnd][-1] if found[RunEnd] else None,
    )


def _contents(path: Path) -> Iterator[Content]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    lines = text.split("\n")
    # A killed run leaves its last line half written.
    if lines[-1]:
        lines.pop()
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        plain = _plain(line, f"{path}:{at}")
        if at == 1:
            _refuse_foreign(plain, str(path))
        try:
            content = of_line(plain)
        except ValueError as error:
            raise ValueError(f"{path}:{at}: {error}") from None
        if content is not None:
            yield content


def _plain(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: corrupt, not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply for a file of ours") from None


def _refuse_foreign(plain: Any, source: str) -> None:
    if not isinstance(plain, dict) or plain.get("kind") != "run":
        raise ValueError(f"{source}: its first line is no run, so not a run document")
    schema = plain.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise ValueError(f"{source}: schema is {schema!r}, expected a whole number")
    if schema > SCHEMA_VERSION:
        raise ValueError(f"{source}: schema {schema}, this version reads up to {SCHEMA_VERSION}; update pytest-attn")
