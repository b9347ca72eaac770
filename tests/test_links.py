"""Links of the pages lead somewhere: to a file that exists, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "baselines" / "README.md"]
WITH_PATHS = [ROOT / "ARCHITECTURE.md", ROOT / "docs" / "extending.md"]
"""Pages that say where things are: paths in backticks, below the root or the package."""

LINK = re.compile(r"\[[^\[\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/(?:[\w.-]+\.(?:py|md|yml))?)`")


def prose(page: Path) -> str:
    """The text of a page without fenced code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page: lower case, hyphens for spaces, other punctuation left out."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        numbered = (f"{name}-{number}" for number in range(1, 99))
        found.add(name if name not in found else next(each for each in numbered if each not in found))
    return found


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(CODE.sub("", prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and (target.suffix != ".md" or anchor not in anchors(target))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page) == []


def test_links_to_no_file_and_to_no_heading_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What's here? `a_b`\n\n[here](#whats-here-a_b) [nowhere](#where) [no file](other.md) "
        "[self](page.md#whats-here-a_b) [no heading](page.md#where) [far](https://example.org/x.md#where) "
        "`[code](other.md)`\n\n```md\n# where\n[fenced](other.md)\n```\n"
    )
    assert broken(page) == ["#where", "other.md", "page.md#where"]


@pytest.mark.parametrize("page", WITH_PATHS, ids=lambda page: page.name)
def test_every_path_exists(page: Path) -> None:
    paths = set(PATH.findall(prose(page)))
    assert paths
    assert [
        path for path in sorted(paths) if not ((ROOT / path).exists() or (ROOT / "pytest_attn" / path).exists())
    ] == []
