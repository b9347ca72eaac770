"""What a test found out, on its report: pytest hands that to this process from xdist's workers, too, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_attn.records.document import Content

ATTRIBUTE = "attn_lines"
"""A plain attribute of a report travels from an xdist worker to the controller."""


IF_IT_ENDS = "attn_if_it_ends"
"""The same, on the report of a set-up: what becomes of the test if no report of its call follows."""


def attach(report: pytest.TestReport, contents: Iterable[Content], attribute: str = ATTRIBUTE) -> None:
    """Put lines of a run document on a report."""
    from pytest_attn.plain import encoded
    from pytest_attn.records.document import as_line

    setattr(report, attribute, [encoded(as_line(content)) for content in contents])


def attached(report: pytest.TestReport, attribute: str = ATTRIBUTE) -> list[Content]:
    """The lines on a report; none where it has none."""
    if not hasattr(report, attribute):
        return []
    from pytest_attn.records.document import of_line

    found = (of_line(plain) for plain in getattr(report, attribute))
    return [content for content in found if content is not None]
