"""The lists of kept key blocks: which list a row takes, and how its indices are read."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.diagnosis.attended import Attended
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.problem.masks import BlockSparse


def block_list(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """A systematic mistake in the block lists of a block-sparse problem."""
    mask = evidence.problem.mask
    if not isinstance(mask, BlockSparse) or not bool((attended.lost | attended.extra).any()):
        return None
    size = mask.block_mask.block_shape[1]
    if size % attended.width:
        return None
    actual, expected = (_by_block(counts, size // attended.width) for counts in (attended.actual, attended.expected))
    expected = expected.clamp_max(1.0)
    for guess in (_inverted, _ignored, _moved, _folded):
        found = guess(actual, expected)
        if found:
            return found
    return _other_row(evidence, mask, actual) or _other_head(actual, expected)


def _by_block(counts: Tensor, columns: int) -> Tensor:
    """How often each key block counts, as a mean over its keys: `[B, H, R, nKV]`."""
    padded = torch.nn.functional.pad(counts, (0, -counts.shape[3] % columns), value=torch.nan)
    return padded.view(*counts.shape[:3], -1, columns).nanmean(dim=4)


def _inverted(actual: Tensor, expected: Tensor) -> Diagnosis | None:
    partial = expected.amin(dim=3) == 0
    if bool(partial.any()) and bool((actual + expected == 1)[partial].all()):
        return Diagnosis("leaked keys", "the block mask is inverted: kept blocks are left out, all others are visited")
    return None


def _ignored(actual: Tensor, expected: Tensor) -> Diagnosis | None:
    if bool((actual == 1).all()) and not bool(expected.all()):
        return Diagnosis("leaked keys", "the block mask is ignored: every block is visited")
    return None


def _moved(actual: Tensor, expected: Tensor) -> Diagnosis | None:
    """Indices that are one off, cut at the ends."""
    for step, words in ((1, "too far"), (-1, "short")):
        moved = torch.zeros_like(expected)
        for column in range(expected.shape[3]):
            moved[..., min(max(column + step, 0), expected.shape[3] - 1)] += expected[..., column]
        if torch.equal(actual, moved):
            return Diagnosis(
                "leaked keys", f"block indices are 1 {words}: each row visits the neighbours of its blocks"
            )
    return None


def _folded(actual: Tensor, expected: Tensor) -> Diagnosis | None:
    """Indices that have lost their upper bits."""
    columns = expected.shape[3]
    for bits in range(2, (columns - 1).bit_length()):
        folded = torch.zeros_like(expected)
        for column in range(columns):
            folded[..., column % 2**bits] += expected[..., column]
        # A row that counts every block twice looks as if it counted each once.
        if torch.equal(actual * folded.sum(dim=3, keepdim=True), folded * actual.sum(dim=3, keepdim=True)):
            return Diagnosis("overflow", f"block indices have {bits} bits: block {2**bits} is read as block 0")
    return None


def _other_row(evidence: Evidence, mask: BlockSparse, actual: Tensor) -> Diagnosis | None:
    """The list of another row of blocks."""
    blocks = mask.block_mask.blocks.cpu().to(actual.dtype)
    own = evidence.rows // mask.block_mask.block_shape[0]
    last = blocks.shape[2] - 1
    for step, words in ((-1, "before"), (1, "after")):
        if last and torch.equal(actual, blocks[:, :, (own + step).clamp(0, last)]):
            phrase = f"query blocks take the block list of the query block {words} them"
            return Diagnosis("lost keys", f"{phrase}: they lose kept blocks and visit others")
    for rows in (16, 32, 64, 128, 256):
        if rows != mask.block_mask.block_shape[0] and torch.equal(
            actual, blocks[:, :, (evidence.rows // rows).clamp_max(last)]
        ):
            phrase = f"query blocks are taken for {rows} rows long, expected {mask.block_mask.block_shape[0]}"
            return Diagnosis("lost keys", f"{phrase}: rows lose kept blocks and visit others")
    return None


def _other_head(actual: Tensor, expected: Tensor) -> Diagnosis | None:
    """The lists of another head or batch."""
    heads = expected.shape[1]
    found, right = actual.flatten(0, 1), expected.flatten(0, 1)
    same = (found.unsqueeze(1) == right.unsqueeze(0)).all(dim=3).all(dim=2)
    wrong = (~same.diagonal()).nonzero().flatten().tolist()
    if not wrong or not bool(same[wrong].any(dim=1).all()):
        return None
    head, other = wrong[0], int(same[wrong[0]].nonzero()[0])
    names = [f"batch {index // heads}, head {index % heads}" for index in (head, other)]
    return Diagnosis("head mapping", f"{names[0]} takes the block list of {names[1]}")
