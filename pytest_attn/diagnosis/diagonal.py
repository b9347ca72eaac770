"""A causal diagonal in the wrong place."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.diagnosis.attended import Attended, where, whole_length, without_mask
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.problem.masks import Causal

WRAPS = (8, 16)
"""Widths, in bits, that a kernel may compute positions in, which then wrap around."""

FEW = 2
"""A diagonal that is so many keys off may have been miscounted; one that is further off lies elsewhere."""


def diagonal(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """What is wrong with the causal diagonal of a causal problem."""
    problem = evidence.problem
    wrong = attended.lost | attended.extra
    if not isinstance(problem.mask, Causal) or attended.width > 1 or not bool(wrong.any()):
        return None
    offset = problem.mask.offset(problem.lengths)
    row, key = evidence.rows.unsqueeze(1), torch.arange(problem.key_length)
    taken, last = attended.actual > 0, row + offset
    if bool(taken.all()):
        return Diagnosis("leaked keys", "there is no causal mask: every row attends to every key")
    if not bool((taken & (key <= last)).any()) and bool(taken.any()):
        return Diagnosis("causal diagonal", "the causal mask is inverted: rows attend to later keys alone")
    found = _shifted(taken, last.squeeze(1), key, offset)
    if found is None and bool(attended.lost.any()):
        found = _wrapped(taken, row, key, offset)
    return (
        found or _offset_wrapped(attended, row, key, last, problem.key_length) or _beside(evidence, attended, key, last)
    )


def _shifted(taken: Tensor, last: Tensor, key: Tensor, offset: int) -> Diagnosis | None:
    """A diagonal that lies elsewhere in all rows."""
    found = taken.sum(dim=3) - 1 - last
    # Where the diagonal crosses a row within the keys, the number of keys says where it is.
    inside = (last >= 0) & (last < len(key) - 1)
    shifts = sorted(set(found[..., inside].flatten().tolist())) if bool(inside.any()) else range(-3, 4)
    for shift in shifts[:8]:
        if shift and bool((taken == (key <= (last + shift).unsqueeze(1))).all()):
            keys = "1 key" if abs(shift) == 1 else f"{abs(shift)} keys"
            phrase = f"the causal diagonal is {keys} too {'far' if shift > 0 else 'short'}"
            if shift != -offset:
                return Diagnosis("causal diagonal", phrase)
            top_left = "the causal diagonal starts at the first key (top-left)"
            return Diagnosis(
                "causal diagonal",
                f"{top_left}, expected to end at the last (bottom-right, {offset:+d})",
                (phrase,) if abs(shift) <= FEW else (),
            )
    return None


def _wrapped(taken: Tensor, row: Tensor, key: Tensor, offset: int) -> Diagnosis | None:
    """Positions that have lost their upper bits before they are compared."""
    for bits in WRAPS:
        half = 2 ** (bits - 1)
        signed_row, signed_key = (row + half) % (2 * half) - half, (key + half) % (2 * half) - half
        allowed = signed_key <= signed_row + offset
        before = key <= row + offset
        if bool((allowed == before).all()):
            continue
        # Tiles beyond the diagonal are not visited, whatever the positions say.
        following = (key == row + offset + 1) & allowed
        leaks = not bool(following.any()) or float((taken & following).sum() / following.expand_as(taken).sum()) > 0.9
        if leaks and bool((taken == allowed)[before.expand_as(taken)].all()) and bool((allowed | ~taken).all()):
            return Diagnosis("overflow", f"the causal mask compares positions of {bits} bits: {half} is negative there")
    return None


def _offset_wrapped(attended: Attended, row: Tensor, key: Tensor, last: Tensor, length: int) -> Diagnosis | None:
    """Pairs beyond the last that an offset into the mask can hold."""
    pair = row * length + key
    for bits in (15, 16, 31, 32):
        beyond = pair >= 2**bits
        next_key = attended.extra & (key == last + 1)
        expected = beyond & (key == last + 1)
        if bool(attended.lost.any()) or not bool(expected.any()) or not bool((beyond | ~attended.extra).all()):
            continue
        if float((next_key & expected).sum()) > 0.9 * float(expected.expand_as(next_key).sum()):
            return Diagnosis("overflow", f"later keys leak where row x {length} + key is 2^{bits} or more")
    return None


def _beside(evidence: Evidence, attended: Attended, key: Tensor, last: Tensor) -> Diagnosis | None:
    """A diagonal that is wrong in some rows: each attends to the first so many keys, but not to the right number."""
    taken = attended.actual > 0
    count = taken.sum(dim=3, keepdim=True)
    elsewhere = without_mask(evidence, whole_length(evidence) + 24)
    if not bool((taken == (key < count)).all()) or elsewhere is None or not elsewhere.right:
        return None
    phrase = where(evidence, attended, attended.lost | attended.extra)
    if bool(attended.lost.any()):
        return Diagnosis("causal diagonal", f"{phrase} are not attended to, though they lie before the causal diagonal")
    leaking = attended.extra.any(dim=3)
    ends = set(count.squeeze(3)[leaking].tolist())
    # The rows of a tile share the end of the tile that the diagonal crosses.
    if int(leaking.sum()) >= 8 * len(ends):
        return Diagnosis("leaked keys", f"{phrase} leak: tiles that the causal diagonal crosses are taken whole")
    return Diagnosis("causal diagonal", f"{phrase} leak, just behind the causal diagonal")
