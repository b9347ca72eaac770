"""Keys that take part and should not, or do not and should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from pytest_attn.diagnosis.attended import LARGEST_TILE, TILE, Attended, explains, where, whole_length, without_mask
from pytest_attn.diagnosis.blocks import block_list
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.diagonal import diagonal
from pytest_attn.diagnosis.evidence import WHOLE_KEYS, Evidence
from pytest_attn.diagnosis.places import named
from pytest_attn.problem.masks import BlockSparse, Causal, Dense
from pytest_attn.problem.vocabulary import Alignment

SPLIT_SHARE = 0.2
"""A loss of this share of many keys is that of a split, not of a tile."""

ODD_HALVES = 1290
"""Keys whose half is no multiple of a tile."""

INDEX_BITS = (15, 16, 31, 32)
"""Widths, in bits, of the integers that a kernel may hold offsets into its tensors in."""

COUNT_BITS = (8, 16)
"""Widths, in bits, of the integers that a kernel may hold the number of keys in."""


def attended_keys(evidence: Evidence) -> Diagnosis | None:
    """Lost, leaked or padding keys, where they account for the whole error."""
    if evidence.uniform is None:
        return None
    attended = Attended.of(evidence.uniform, evidence.uniform_lse)
    if attended is None or attended.right or not explains(evidence, attended):
        return None
    return next((found for name in NAMES if (found := name(evidence, attended))), None)


def _count_wrapped(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """Keys beyond a number of keys that has lost its upper bits."""
    length = evidence.problem.key_length
    key = torch.arange(length)
    if attended.width > 1 or bool(attended.extra.any()):
        return None
    for bits in COUNT_BITS:
        counted = length % 2**bits
        lost = (attended.expected > 0) & (key >= counted)
        if length >= 2**bits and bool(lost.any()) and torch.equal(lost, attended.lost):
            phrase = f"only {counted} of {length} keys count: the number of keys has lost all but {bits} bits"
            return Diagnosis("overflow", phrase)
    return None


def _nothing(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """No key at all: a tail that is the only tile, or no attention."""
    if bool(attended.actual.any()):
        return None
    length = evidence.problem.key_length
    partial, whole = length % TILE != 0, whole_length(evidence)
    counts = without_mask(evidence, whole if partial else whole + 24)
    if counts is None:
        return None
    if not bool(counts.actual.any()):
        return Diagnosis("null", "no value has any weight")
    if not counts.right:
        keys = named("key", torch.ones(length, dtype=torch.bool))
        return Diagnosis("lost keys", f"{keys} are not attended to, as are some keys of many")
    unmasked = without_mask(evidence, length)
    if isinstance(evidence.problem.mask, BlockSparse) and unmasked and unmasked.right:
        return Diagnosis("lost keys", "no kept block is attended to; without a mask all keys are")
    other = f"a multiple of {LARGEST_TILE}" if partial else f"no multiple of {TILE}"
    return Diagnosis("tail", f"no key is attended to; at a length that is {other} all are")


def _read_as_zero(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """Keys that take the weight of a zero key and add a zero value."""
    lost = (attended.expected - attended.actual).where(attended.lost, 0.0).sum(dim=3)
    if not bool(attended.lost.any()) or not bool((attended.pads - lost).abs().max() < 0.5 + 0.02 * lost.max()):
        return None
    phrase = f"{where(evidence, attended, attended.lost)} are read as zeros: they take weight and add no value"
    first = int(attended.lost.any(dim=(0, 1, 2)).nonzero()[0]) * attended.width
    for width in (evidence.problem.head_dim, evidence.problem.value_dim):
        for bits in INDEX_BITS:
            if (first - 64) * width < 2**bits <= first * width:
                return Diagnosis("overflow", f"{phrase}; element 2^{bits} lies there: offsets have {bits} bits")
    return Diagnosis("lost keys", phrase)


def _padding(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """Positions that are no keys and take weight: what they are, by where else they take it."""
    if not bool(attended.padded.any()) or evidence.uniform is None:
        return None
    positions = round(float(attended.pads.max()))
    if positions <= 0:
        return None
    total = evidence.uniform.actual.sum(dim=3)[attended.padded]
    adds = f"with zero queries the weights of a row add up to {float(total.min()):.3g}"
    return _padding_at_any_length(evidence, positions, adds) or _padding_of_tail(evidence, attended, positions, adds)


def _padding_at_any_length(evidence: Evidence, positions: int, adds: str) -> Diagnosis | None:
    """So many positions that take weight where there is no tail: of an empty split, or of a wrong sum."""
    # A split without keys: one key's weight too much of 64 keys, none of 128.
    one_tile = without_mask(evidence, 64) if positions == 1 else None
    whole = without_mask(evidence, WHOLE_KEYS)
    if one_tile and round(float(one_tile.pads.max())) == 1 and whole and whole.right:
        return Diagnosis("empty rows", f"a split without keys takes the weight of a key with logit 0: {adds}")
    if whole and not whole.right:
        return Diagnosis("rescale", f"{positions} keys more than there are take weight, at any length: {adds}")
    return None


def _padding_of_tail(evidence: Evidence, attended: Attended, positions: int, adds: str) -> Diagnosis:
    """So many positions beyond the last key, and maybe others that a mask must hide."""
    tiles = "in the tiles that a row does not see whole, keys"
    leaking = tiles if bool(attended.extra.any()) else _leaks_under_causal(evidence)
    if leaking:
        hidden = f"{positions} positions beyond the last key and, {leaking}"
        return Diagnosis("leaked keys", f"what must be hidden takes weight: {hidden}")
    length = evidence.problem.key_length
    beyond, filled = f"beyond the last key, {length - 1},", length + positions
    if positions < LARGEST_TILE and filled % TILE == 0:
        fill = f"they fill the last tile, up to {filled} keys"
        return Diagnosis("tail", f"{positions} positions {beyond} take weight: {fill}; {adds}")
    if positions == 1:
        return Diagnosis("tail", f"1 position {beyond} takes weight: {adds}")
    return Diagnosis("tail", f"positions {beyond} take weight, as {positions} keys of logit 0 would: {adds}")


def _leaks_under_causal(evidence: Evidence) -> str:
    """Whether later keys take weight under a causal mask, in words; empty where they do not."""
    if not isinstance(evidence.problem.mask, Dense):
        return ""
    alignments: tuple[Alignment, ...] = ("top-left", "bottom-right")
    masks = [mask for mask in map(Causal, alignments) if evidence.subject.claims(replace(evidence.shown, mask=mask))]
    weights = evidence.stretched(WHOLE_KEYS, masks[0]) if masks else None
    if weights is None or not bool((weights.actual[weights.counts == 0] > 2.0**-12).any()):
        return ""
    return "under a causal mask, later keys"


def _tail(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """Keys of a last tile, whose bug goes away at another length."""
    wrong = attended.lost | attended.extra
    if not bool(wrong.any()):
        return None
    length = evidence.problem.key_length
    first = int(wrong.any(dim=(0, 1, 2)).nonzero()[0]) * attended.width
    if first < length - LARGEST_TILE or isinstance(evidence.problem.mask, BlockSparse):
        return None
    partial, whole = length % TILE != 0, whole_length(evidence)
    elsewhere = without_mask(evidence, whole if partial else whole + 24)
    if elsewhere is None or not elsewhere.right:
        return None
    odd, even = (without_mask(evidence, whole + more) for more in (64, 96)) if partial else (None, None)
    if odd and even and even.right and not odd.right:
        phrase = f"{where(evidence, attended, wrong)} are lost, and so is the last of any odd number of tiles"
        return Diagnosis("split lost", phrase)
    what = "are not attended to" if bool(attended.lost.any()) else "count more than once"
    other = f"a multiple of {LARGEST_TILE}" if partial else f"no multiple of {TILE}"
    return Diagnosis("tail", f"{where(evidence, attended, wrong)} {what}; at a length that is {other} all are right")


def _half(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """Exactly half of the keys, cut where no tile ends."""
    half = evidence.problem.key_length // 2
    if attended.width > 1 or half % TILE == 0:
        return None
    lost = (attended.expected > 0) & (torch.arange(evidence.problem.key_length) >= half)
    if half and torch.equal(lost, attended.lost) and not bool(attended.extra.any()):
        return Diagnosis("null", f"only the first half of the keys is read: {half} of {evidence.problem.key_length}")
    return None


def _split(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """A large share of the keys lost, also where there are many tiles."""
    if bool(attended.extra.any()) or not bool(attended.lost.any()):
        return None
    if evidence.problem.key_length < 8 * LARGEST_TILE or not isinstance(evidence.problem.mask, Dense):
        longer = without_mask(evidence, 5 * LARGEST_TILE)
        share = _share(longer) if longer else 0.0
    else:
        share = _share(attended)
    if share < SPLIT_SHARE:
        return None
    halved = without_mask(evidence, ODD_HALVES)
    if halved and bool(((halved.expected - halved.actual).sum(dim=3) == ODD_HALVES // 2).all()):
        return Diagnosis("null", f"only the first half of the keys is read, also of {ODD_HALVES}")
    what = f"{where(evidence, attended, attended.lost)} are not attended to"
    return Diagnosis("split lost", f"{what}: a split of the keys, {share:.0%} of many")


def _share(attended: Attended) -> float:
    """The share of keys lost in the rows that lose any."""
    missing = (attended.expected - attended.actual).clamp_min(0.0).sum(dim=3)
    missing = missing / attended.expected.sum(dim=3).clamp_min(1.0)
    rows = attended.lost.any(dim=3)
    return float(missing[rows].mean()) if bool(rows.any()) else 0.0


def _lost(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    if not bool(attended.lost.any()):
        return None
    return Diagnosis("lost keys", f"{where(evidence, attended, attended.lost)} are not attended to")


def _leaked(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    if not bool(attended.extra.any()):
        return None
    twice = attended.extra & (attended.expected > 0)
    if bool(twice.any()):
        times = float((attended.actual / attended.expected)[twice].max())
        return Diagnosis("leaked keys", f"{where(evidence, attended, twice)} count {times:.3g} times")
    return Diagnosis("leaked keys", f"{where(evidence, attended, attended.extra)} are attended to and must not be")


NAMES: tuple[Callable[[Evidence, Attended], Diagnosis | None], ...] = (
    _count_wrapped,
    _nothing,
    _read_as_zero,
    _padding,
    block_list,
    diagonal,
    _half,
    _tail,
    _split,
    _lost,
    _leaked,
)
"""What explains keys that count wrongly, each with a name for it or None: from the specific to the general."""
