"""Masks: which query may attend to which key. Semantics only; one mask per file."""

from pytest_attn.problem.masks.block_sparse import BlockSparse
from pytest_attn.problem.masks.both import Both
from pytest_attn.problem.masks.causal import Causal
from pytest_attn.problem.masks.dense import Dense
from pytest_attn.problem.masks.mask import Lengths, Mask, Span, heads_alike
from pytest_attn.problem.masks.pairs import Pairs
from pytest_attn.problem.masks.ragged import Ragged
from pytest_attn.problem.masks.split import Split
from pytest_attn.problem.masks.visible import seeing_queries, visible_keys
from pytest_attn.problem.masks.window import Window

__all__ = [
    "BlockSparse",
    "Both",
    "Causal",
    "Dense",
    "Lengths",
    "Mask",
    "Pairs",
    "Ragged",
    "Span",
    "Split",
    "Window",
    "heads_alike",
    "intersection",
    "parts",
    "seeing_queries",
    "visible_keys",
    "within",
]


def intersection(*masks: Mask) -> Mask:
    """The mask of the pairs that all masks allow."""
    found: Mask = Dense()
    for mask in masks:
        if not isinstance(mask, Dense):
            found = mask if isinstance(found, Dense) else Both(found, mask)
    return found


def within(mask: Mask, other: Mask) -> Mask:
    """The pairs of a mask that another allows too, where that is over the lengths of each sequence."""
    return Ragged(within(mask.inner, other), mask.sequences) if isinstance(mask, Ragged) else intersection(mask, other)


def parts(mask: Mask) -> tuple[Mask, ...]:
    """The masks that one is made of; itself where it is not made of others."""
    if isinstance(mask, Both):
        return parts(mask.first) + parts(mask.second)
    return parts(mask.inner) if isinstance(mask, Ragged) else (mask,)
