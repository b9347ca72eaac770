"""A value on the wire: one line of strict JSON, in a run document and between xdist workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_attn.plain import encoded


def line_of(plain: Mapping[str, Any]) -> str:
    """One line of a run document, with its end."""
    return json.dumps(encoded(plain), allow_nan=False, ensure_ascii=False) + "\n"
