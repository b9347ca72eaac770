"""What the built-in kernels claim, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.resolve import BUILT_IN, find_kernel
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.variants.registry import variants


def claims_table() -> str:
    """Capabilities by built-in kernel, as a Markdown table: x where claimed, values where some only, else nothing."""
    claims = {name: find_kernel(name).capabilities for name in BUILT_IN}
    unlimited = Capabilities(dtypes=BUILT_IN_DTYPES)
    rows = [f"| | {' | '.join(f'`{name}`' for name in claims)} |", "|---" * (len(claims) + 1) + "|"]
    for item in fields(Capabilities):
        if item.name == "refuses":  # none refuses what it claims
            continue
        if item.name == "variants":
            rows += [_row(kind, (kind in claimed.variants for claimed in claims.values())) for kind in _built_in()]
            continue
        cells = (_cell(getattr(claimed, item.name), getattr(unlimited, item.name)) for claimed in claims.values())
        rows.append(f"| `{item.name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _built_in() -> list[str]:
    return [name for name, variant in variants().items() if variant.__module__.startswith("pytest_attn.")]


def _row(name: str, claimed: Iterable[bool]) -> str:
    return f"| `{name}` | {' | '.join('x' if each else '' for each in claimed)} |"


def _cell(value: Any, unlimited: Any) -> str:
    if isinstance(value, bool):
        return "x" if value else ""
    if isinstance(value, int):
        return str(value) if value != unlimited else ""
    return "any" if value == unlimited else ", ".join(str(part) for part in value)
