"""`python -m pytest_attn summary`: what runs left in their folders, for a workflow's page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_attn.commands.command import USAGE
from pytest_attn.records.document import read_document
from pytest_attn.report.annotations import error_annotations
from pytest_attn.report.markdown import markdown
from pytest_attn.report.results import Results


def add_summary(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "summary",
        help="what runs with --attn-output left, as Markdown or as annotations of GitHub",
        description="Print what runs with --attn-output left in their folders as Markdown, worst first. It says what "
        "they found and is no gate: the exit status is 0 where the files could be read.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a folder of --attn-output")
    parser.add_argument(
        "--annotations", action="store_true", help="print GitHub's workflow commands for the ten worst failures instead"
    )
    parser.set_defaults(run=run_summary)


def run_summary(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print; returns the exit status."""
    try:
        results = [Results(read_document(folder)) for folder in asked.folders]
    except ValueError as error:
        print(f"summary: {error}", file=sys.stderr)
        return USAGE
    print(error_annotations(results) if asked.annotations else markdown(results), end="")
    return 0
