"""How often each key counts in each row: what zero queries show, where all keys weigh the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.model import reference_of
from pytest_attn.diagnosis.places import heads, named
from pytest_attn.diagnosis.weights import Weights

LARGEST_TILE = 256
"""Tiles of keys are at most this long."""

TILE = 16
"""Tiles are multiples of this many keys."""


WHOLE_KEYS_OFF = 0.3
"""A count of one key lies this near to a whole number, in keys."""

WHOLE_RUNS_OFF = 0.6
"""A count of a run of several keys lies this near to a whole number, in keys: it has the errors of all of them."""


@dataclass(frozen=True, eq=False)
class Attended:
    """How often each run of `width` keys counted in each row: `actual` and `expected` `[B, H, R, C]`, in keys.

    `pads` `[B, H, R]`: by how many keys' weight the weights fall short of 1: positions that are no keys took it.
    `resolution`: the relative error of that.
    """

    actual: Tensor
    expected: Tensor
    pads: Tensor
    width: int
    resolution: float

    @staticmethod
    def of(uniform: Weights, lse: Tensor | None = None) -> Attended | None:
        """Counts from the weights, and where it is known the LSE, of zero queries; None where these do not fit
        together as counts."""
        for unit in _units(uniform):
            actual = uniform.actual / unit
            if _are_counts(actual, uniform.width):
                pads, resolution = _pads(uniform, actual.round(), unit.squeeze(3), lse)
                return Attended(actual.round(), uniform.counts, pads, uniform.width, resolution)
        return None

    @property
    def padded(self) -> Tensor:
        """bool `[B, H, R]`: rows whose weights do not add up to 1, by more than rounding."""
        return self.pads.abs() > 0.5 + self.expected.sum(dim=3) * self.resolution

    @property
    def right(self) -> bool:
        """Whether every key counts once and nothing else does."""
        return not bool((self.padded | (self.lost | self.extra).any(dim=3)).any())

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
        """By how many keys a right count may be off, `[B, H, R, C]`."""
        return 0.5 + self.expected * (self.resolution if self.width > 64 else 0.0)


def _units(uniform: Weights) -> list[Tensor]:
    """What the weight of one key may be in each row, `[B, H, R, 1]`, likely ones first; 1 in a row that lost all its
    keys, or never had one, and so has no unit.

    Most keys count once, so the unit is the median weight per key; where most count twice, the least weight is it,
    which only single keys tell.
    """
    per_key = (uniform.actual / uniform.counts.clamp_min(1.0)).where(uniform.actual > 0, torch.nan)
    median = per_key.nanmedian(dim=3, keepdim=True).values.nan_to_num(1.0)
    least = per_key.nan_to_num(2.0).amin(dim=3, keepdim=True).nan_to_num(1.0)
    return [median, least] if uniform.width == 1 else [median]


def _are_counts(actual: Tensor, width: int) -> bool:
    """Whether weights in units of one key are whole numbers, 0 or more, as far as rounding lets them."""
    off = (actual - actual.round()).abs()
    allowed = WHOLE_KEYS_OFF if width == 1 else WHOLE_RUNS_OFF
    return bool((off < allowed).all()) and bool((actual > -0.5).all())


def _pads(uniform: Weights, actual: Tensor, unit: Tensor, lse: Tensor | None) -> tuple[Tensor, float]:
    """By how many keys' weight each row falls short, `[B, H, R]`, and the relative error of that number.

    (1 - sum of weights) / unit, or exp(lse) - sum of counts; 0 in rows without weight.
    """
    total = uniform.actual.sum(dim=3)
    pads = ((1.0 - total) / unit).where(total > 0, 0.0)
    if lse is None:
        return pads, uniform.resolution
    # The LSE has more bits than the output; it is believed where the two agree.
    counted = (lse.double().exp() - actual.sum(dim=3)).to(pads.dtype).where(total > 0, 0.0)
    agrees = (pads - counted).abs() <= 0.5 + 2 * uniform.resolution * (actual.sum(dim=3) + pads.abs())
    return (counted, 2.0**-14) if bool(agrees.all()) else (pads, uniform.resolution)


def explains(evidence: Evidence, attended: Attended) -> bool:
    """Whether exact attention that counts keys as found gives the kernel's own result on the case."""
    if attended.width > 1:
        return _same_pattern(evidence, attended)
    model = evidence.model
    scores = model.query @ model.key.mT * model.scale + attended.actual.log()
    pads = attended.pads.round().clamp_min(0.0).where(attended.padded, 0.0)
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
    if bool(attended.padded.any()) and _same_total(own, attended):
        return False
    return bool(((ratio / level - 1.0).abs().nan_to_num(0.0) < 0.05).all())


def _same_total(own: Weights, attended: Attended) -> bool:
    """Whether the weights of all padded rows add up to the same, whatever their logits are: padding would not."""
    total = own.actual.sum(dim=3)[attended.padded]
    return total.numel() > 3 and float(total.max() - total.min()) < 0.02


def without_mask(evidence: Evidence, keys: int) -> Attended | None:
    """The counts without a mask and with another number of keys; None where there are none."""
    weights = evidence.stretched(keys)
    return Attended.of(weights) if weights else None


def whole_length(evidence: Evidence) -> int:
    """The number of keys rounded up to a multiple of every tile."""
    return -(-evidence.problem.key_length // LARGEST_TILE) * LARGEST_TILE


def where(evidence: Evidence, attended: Attended, wrong: Tensor) -> str:
    """Which keys in which rows: "head 1: keys 128-191 (key blocks 2-2 of 64) in rows 0-63"."""
    which = wrong.any(dim=(2, 3))
    columns = wrong.any(dim=(0, 1, 2))
    keys = columns.repeat_interleave(attended.width)[: evidence.problem.key_length]
    wrong_rows = wrong.any(dim=(0, 1, 3))
    rows = torch.zeros(evidence.problem.query_length, dtype=torch.bool)
    first, last = (int(wrong_rows.nonzero()[end]) for end in (0, -1))
    if bool(wrong_rows[first : last + 1].all()):
        # Rows between those that were looked at are taken to be as these.
        rows[int(evidence.rows[first]) : int(evidence.rows[last]) + 1] = True
    rows[evidence.rows] = wrong_rows
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
