"""The fields of a case as plain data, for who sorts and filters records without knowing how ids are spelled."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pytest_attn.plain import encoded
from pytest_attn.problem.case import Case


def fields_of(case: Case) -> dict[str, Any]:
    """Every field by its name; variants as the words that they have in the id, a frame as its four widths."""
    plain = {each.name: getattr(case, each.name) for each in fields(case)}
    plain["variants"] = [variant.token for variant in case.variants]
    plain["frame"] = case.frame and case.frame.as_tuple
    found: dict[str, Any] = encoded(plain)
    return found
