"""Keys that take part and should not, or do not and should: what zero queries show, where all keys weigh the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence, Weights
from pytest_attn.diagnosis.model import reference_of
from pytest_attn.diagnosis.places import heads, named
from pytest_attn.problem.masks import BlockSparse, Causal, Dense

LARGEST_TILE = 256
"""Keys that leak or get lost beside the diagonal do so within one tile."""

TILE = 16
"""Tiles are multiples of this many keys."""


@dataclass(frozen=True, eq=False)
class Attended:
    """How often each run of keys counted in each row: `actual` and `expected` `[B, H, R, C]`, in keys.

    `pads` `[B, H, R]`: by how many keys' weight the weights fall short of 1, because positions that are no keys took it.
    """

    actual: Tensor
    expected: Tensor
    pads: Tensor
    width: int

    @staticmethod
    def of(uniform: Weights) -> Attended | None:
        """Counts from the weights of zero queries; None where these do not fit together as counts."""
        counted = (uniform.counts > 0) & (uniform.actual > 0)
        per_key = (uniform.actual / uniform.counts).where(counted, torch.nan)
        # Most keys count once; where most count twice, those that count least do.
        units = [per_key.nanmedian(dim=3, keepdim=True).values, per_key.nan_to_num(2.0).amin(dim=3, keepdim=True)]
        for unit in units if uniform.width == 1 else units[:1]:
            # A row that lost all its keys, or never had one, has no unit.
            unit = unit.nan_to_num(1.0)
            actual = uniform.actual / unit
            total = uniform.actual.sum(dim=3)
            pads = ((1.0 - total) / unit.squeeze(3)).where(total > 0, 0.0)
            slack = (actual - actual.round()).abs()
            if bool((slack < (0.3 if uniform.width == 1 else 0.6)).all()) and bool((actual > -0.5).all()):
                return Attended(actual.round(), uniform.counts, pads, uniform.width)
        return None

    @property
    def lost(self) -> Tensor:
        """bool `[B, H, R, C]`: runs of which keys are missing."""
        return self.actual < self.expected - self._slack

    @property
    def extra(self) -> Tensor:
        """bool `[B, H, R, C]`: runs of which more keys count than may, or keys count more than once."""
        return self.actual > self.expected + self._slack

    @property
    def _slack(self) -> Tensor:
        # The output was rounded: to 8 bits at worst.
        return 0.5 + self.expected * (2.0**-8 if self.width > 64 else 0.0)


def attended_keys(evidence: Evidence) -> Diagnosis | None:
    """Lost, leaked or padding keys, where they account for the whole error."""
    if evidence.uniform is None:
        return None
    attended = Attended.of(evidence.uniform)
    if attended is None:
        return None
    pads = bool((attended.pads > 0.5).any())
    if not (pads or attended.lost.any() or attended.extra.any()) or not _explains(evidence, attended):
        return None
    if not bool(attended.actual.any()):
        return _tail(evidence, attended)
    if pads:
        return _padding(evidence, attended)
    for name in (_diagonal, _tail, _split):
        found = name(evidence, attended)
        if found:
            return found
    if bool(attended.lost.any()):
        return Diagnosis("lost keys", f"{_where(evidence, attended, attended.lost)} are not attended to")
    return Diagnosis("leaked keys", _leaked(evidence, attended))


def _explains(evidence: Evidence, attended: Attended) -> bool:
    """Whether exact attention that counts keys as found gives the kernel's own result on the case."""
    if attended.width > 1:
        return _same_pattern(evidence, attended)
    model = evidence.model
    scores = model.query @ model.key.mT * model.scale + attended.actual.log()
    pads = attended.pads.round().clamp_min(0.0)
    lse = torch.logaddexp(scores.logsumexp(dim=3), pads.log())
    weights = (scores - lse.masked_fill(lse.isneginf(), 0.0).unsqueeze(3)).exp()
    return evidence.explained_by(reference_of(weights, lse, model.value)) or _same_pattern(evidence, attended)


def _same_pattern(evidence: Evidence, attended: Attended) -> bool:
    """Whether with queries that tell keys apart the weights are those of keys that count as found, each row's by one
    factor."""
    own = evidence.varied
    if own is None or own.width != attended.width:
        return False
    predicted = own.expected * attended.actual / attended.expected.clamp_min(1.0)
    leaked = attended.extra & (attended.expected == 0)
    heavy = (predicted > 2.0**-10) & ~leaked
    ratio = (own.actual / predicted).where(heavy, torch.nan)
    level = ratio.nanmedian(dim=3, keepdim=True).values
    gone = own.actual[attended.actual == 0].abs()
    if gone.numel() and float(gone.max()) > 2.0**-10:
        return False
    return bool(((ratio / level - 1.0).abs().nan_to_num(0.0) < 0.05).all())


def _padding(evidence: Evidence, attended: Attended) -> Diagnosis:
    """Positions that are no keys."""
    most = round(float(attended.pads.max()))
    length = evidence.problem.key_length
    assert evidence.uniform is not None
    weight = float(evidence.uniform.actual.sum(dim=3)[attended.pads > 0.5].min())
    adds = f"with zero queries the weights of a row add up to {weight:.3g}"
    if _persists(evidence, whole=True):
        return Diagnosis("rescale", f"{most} keys more than there are take weight, at any length: {adds}")
    return Diagnosis("tail", f"{most} positions beyond the last key, {length - 1}, take weight: {adds}")


def _persists(evidence: Evidence, *, whole: bool) -> bool:
    """Whether without a mask, at a length that is (whole) or is not a multiple of tiles, keys are miscounted as well."""
    length = -(-evidence.problem.key_length // LARGEST_TILE) * LARGEST_TILE
    weights = evidence.stretched(length if whole else length + 24)
    counts = Attended.of(weights) if weights else None
    return counts is None or bool((counts.lost | counts.extra).any() or (counts.pads > 0.5).any())


def _diagonal(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """A causal diagonal in the wrong place."""
    problem = evidence.problem
    if not isinstance(problem.mask, Causal) or attended.width > 1:
        return None
    offset = problem.mask.offset(problem.lengths)
    taken = attended.actual > 0
    last = evidence.rows + offset
    key = torch.arange(problem.key_length)
    if bool(taken.all()):
        return Diagnosis("causal diagonal", "there is no causal mask: every row attends to every key")
    if bool((taken == (key >= last.unsqueeze(1))).all()) or bool((taken == (key > last.unsqueeze(1))).all()):
        return Diagnosis("causal diagonal", "the causal mask is inverted: rows attend to later keys")
    # Where the diagonal crosses a row within the keys, the number of keys says where it is.
    found = taken.sum(dim=3) - 1 - last
    inside = (last >= 0) & (last < problem.key_length - 1)
    for shift in found[..., inside].flatten().unique().tolist() if bool(inside.any()) else range(-3, 4):
        if bool((taken == (key <= (last + shift).unsqueeze(1))).all()) and shift:
            return Diagnosis("causal diagonal", _shifted(int(shift), offset))
    wrong = attended.lost | attended.extra
    distance = (key - last.unsqueeze(1)).abs().where(wrong, 0)
    if int(distance.max()) > LARGEST_TILE or problem.key_length <= TILE or _persists(evidence, whole=False):
        return None
    what = "leak" if bool(attended.extra.any()) else "are lost"
    return Diagnosis("causal diagonal", f"{_where(evidence, attended, wrong)} {what}, all beside the causal diagonal")


def _shifted(shift: int, offset: int) -> str:
    if shift == -offset:
        return f"the causal diagonal starts at the first key (top-left), expected {offset:+d} keys from it"
    keys = "1 key" if abs(shift) == 1 else f"{abs(shift)} keys"
    return f"the causal diagonal is {keys} too {'far' if shift > 0 else 'short'}"


def _tail(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """Keys of a last tile, whose bug goes away at another length."""
    wrong = attended.lost | attended.extra
    length = evidence.problem.key_length
    seen = wrong.any(dim=(0, 1, 2)).nonzero()
    if int(seen[0]) * attended.width < length - LARGEST_TILE or isinstance(evidence.problem.mask, BlockSparse):
        return None
    whole = length % TILE != 0
    if _persists(evidence, whole=whole):
        return None
    what = "are not attended to" if bool(attended.lost.any()) else "count more than once"
    other = f"a multiple of {LARGEST_TILE}" if whole else f"no multiple of {TILE}"
    return Diagnosis("tail", f"{_where(evidence, attended, wrong)} {what}; at a length that is {other} all are right")


def _split(evidence: Evidence, attended: Attended) -> Diagnosis | None:
    """A large share of the keys lost, also where there are many tiles."""
    if bool(attended.extra.any()) or not bool(attended.lost.any()):
        return None
    if evidence.problem.key_length < 8 * LARGEST_TILE or not isinstance(evidence.problem.mask, Dense):
        longer = evidence.stretched(5 * LARGEST_TILE)
        counts = Attended.of(longer) if longer else None
        share = _share(counts.lost) if counts else 0.0
    else:
        share = _share(attended.lost)
    if share < 0.2:
        return None
    where = _where(evidence, attended, attended.lost)
    return Diagnosis("split lost", f"{where} are not attended to: a split of the keys, {share:.0%} of many")


def _share(lost: Tensor) -> float:
    """The share of columns lost in the rows that lose any."""
    rows = lost.any(dim=3)
    return float(lost.float().mean(dim=3)[rows].mean()) if bool(rows.any()) else 0.0


def _leaked(evidence: Evidence, attended: Attended) -> str:
    twice = attended.extra & (attended.expected > 0)
    if bool(twice.any()):
        return f"{_where(evidence, attended, twice)} count {float(attended.actual[twice].max()):.0f} times"
    return f"{_where(evidence, attended, attended.extra)} are attended to and must not be"


def _where(evidence: Evidence, attended: Attended, wrong: Tensor) -> str:
    """Which keys in which rows: "head 1: keys 128-191 (key blocks 2-2 of 64) in rows 0-63"."""
    which = wrong.any(dim=(2, 3))
    columns = wrong.any(dim=(0, 1, 2))
    keys = columns.repeat_interleave(attended.width)[: evidence.problem.key_length]
    rows = torch.zeros(evidence.problem.query_length, dtype=torch.bool)
    rows[evidence.rows] = wrong.any(dim=(0, 1, 3))
    in_rows = "all rows" if bool(rows[evidence.rows].all()) else named("row", rows)
    return f"{heads(which)}{named('key', keys)}{_blocks(keys)} in {in_rows}"


def _blocks(keys: Tensor) -> str:
    """The blocks that keys fill wholly, by the largest block size for which they do."""
    marked = keys.nonzero().flatten()
    first, stop = int(marked[0]), int(marked[-1]) + 1
    if len(marked) != stop - first:
        return ""
    sizes = (size for size in (1024, 512, 256, 128, 64, 32, 16) if first % size == 0)
    fitting = next((size for size in sizes if stop % size == 0 or stop == len(keys)), None)
    if fitting is None or stop - first < min(fitting, 16):
        return ""
    return f" (key blocks {first // fitting}-{(stop - 1) // fitting} of {fitting})"
