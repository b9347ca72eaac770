"""Cells that an earlier process drew: drawing takes seconds, reading what was drawn next to nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pytest_attn.execution.unclaimed import Unclaimed
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.problem.case import Case
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.sweep import Sweep, find_sweep, home_of, sketch
from pytest_attn.problem.variants.registry import variants

PACKAGE = Path(__file__).parent.parent

MOST_FILES = 40
"""Files that are kept; the oldest go first."""

Ids = Mapping[str, list[str]]
"""The ids of each group."""


@cache
def drawn_sweep(name: str, claims: Capabilities | None, folder: Path | None) -> Sweep:
    """`find_sweep` of a drawn sweep, for a kernel with these claims or for one that claims everything, read from
    `folder` where the same code drew it for the same claims before.

    Claims with refusals, which are functions, and sweeps of other packages are drawn every time. Raises RefusalError
    where a refusal says neither yes nor no.
    """
    misses = Unclaimed(claims) if claims else None
    if folder is None or (claims and claims.refuses) or not home_of(name).startswith("pytest_attn."):
        return find_sweep(name, misses)
    path = folder / f"{name}-{_key(name, claims)}.json"
    found = _read(path, name)
    if found is None:
        found = find_sweep(name, misses)
        _write(path, found)
    return found


def _key(name: str, claims: Capabilities | None) -> str:
    """A digest of all that the cells depend on."""
    claimed = {each.name: getattr(claims, each.name) for each in fields(claims)} if claims else None
    known = (dict(data_types()), [*variants()])
    text = repr((name, claimed, known, _code(), platform.python_version(), version("numpy")))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def _code() -> str:
    """A digest of every line of this package."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_bytes()
        digest.update(f"|{path.relative_to(PACKAGE)}|{len(text)}|".encode() + text)
    return digest.hexdigest()


def _read(path: Path, name: str) -> Sweep | None:
    """The sweep in a file; None where it is not whole."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["digest"] != _digest(path.name, kept["ids"]):
            return None
        groups = {group: tuple(map(Case.parse, ids)) for group, ids in kept["ids"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    with contextlib.suppress(OSError):  # a folder that only others may write serves all the same
        os.utime(path)
    return Sweep(name, sketch(name)[0], groups)


def _write(path: Path, sweep: Sweep) -> None:
    if sweep.published or any(Case.parse(case.id) != case for case in sweep):
        return
    ids = {group: [case.id for case in cases] for group, cases in sweep.groups.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump({"digest": _digest(path.name, ids), "ids": ids}, file)
            os.replace(aside, path)
        finally:
            Path(aside).unlink(missing_ok=True)
        files = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True)
        for old in files[MOST_FILES:]:
            old.unlink(missing_ok=True)
    except OSError:
        # A full or read-only disk costs the next process time; it is no reason to end this one.
        return


def _digest(name: str, ids: Ids) -> str:
    return hashlib.blake2b(f"{name}|{json.dumps(ids)}".encode(), digest_size=16).hexdigest()
