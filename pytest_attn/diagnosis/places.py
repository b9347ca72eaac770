"""Rows, keys and heads in words: ranges of indices as a diagnosis names them."""

from __future__ import annotations

import torch
from torch import Tensor

RANGES_NAMED = 3


def ranges(marked: Tensor) -> str:
    """The places that a bool vector marks, as ranges: "0-63, 128-191"."""
    edges = torch.diff(marked.to(torch.int8), prepend=torch.zeros(1), append=torch.zeros(1))
    firsts, ends = (edges == 1).nonzero().flatten().tolist(), (edges == -1).nonzero().flatten().tolist()
    words = [str(a) if a + 1 == b else f"{a}-{b - 1}" for a, b in zip(firsts, ends, strict=True)]
    more = f" and {len(words) - RANGES_NAMED} more ranges" if len(words) > RANGES_NAMED else ""
    return ", ".join(words[:RANGES_NAMED]) + more


def named(noun: str, marked: Tensor) -> str:
    """ "row 7", "rows 0-63"; the noun alone in the plural, after "all", where every place is marked."""
    if bool(marked.all()) and len(marked) > 1:
        return f"all {noun}s"
    return f"{noun}{'s' if int(marked.sum()) > 1 else ''} {ranges(marked)}"


def heads(marked: Tensor) -> str:
    """The heads that a bool `[B, H]` marks, as a prefix: "head 1: "; empty where all are."""
    if bool(marked.all()):
        return ""
    batches = f"batches {ranges(marked.any(dim=1))}, " if len(marked) > 1 else ""
    return f"{batches}{named('head', marked.any(dim=0))}: ".replace("all heads", "every head")


def rows_of_heads(marked: Tensor) -> str:
    """The rows that a bool `[B, H, S]` marks, behind the heads that have them."""
    return f"{heads(marked.any(dim=2))}{named('row', marked.any(dim=(0, 1)))}"
