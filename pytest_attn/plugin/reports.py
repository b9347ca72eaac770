"""What a test found out, on its report: pytest hands that to this process from xdist's workers, too, as plain data."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_attn.plain import encoded
from pytest_attn.records.document import Content, as_line, of_line

ATTRIBUTE = "attn_lines"
"""A plain attribute of a report travels from an xdist worker to the controller."""


IF_IT_ENDS = "attn_if_it_ends"
"""The same, on the report of a set-up: what becomes of the test if no report of its call follows."""


def attach(report: pytest.TestReport, contents: Iterable[Content], attribute: str = ATTRIBUTE) -> None:
    """Put lines of a run document on a report."""
    setattr(report, attribute, [encoded(as_line(content)) for content in contents])


def attached(report: pytest.TestReport, attribute: str = ATTRIBUTE) -> list[Content]:
    """The lines on a report; none where it has none."""
    found = (of_line(plain) for plain in getattr(report, attribute, ()))
    return [content for content in found if content is not None]
