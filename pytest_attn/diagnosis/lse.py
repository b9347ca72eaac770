"""A log-sum-exp that is wrong beside an output that is right."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.places import named
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.kinds import Kind
from pytest_attn.problem.problem import torch_dtype

LOG2_E = math.log2(math.e)

MANY_KEYS = 1280
"""More keys than any kernel takes at a time."""

Guess = tuple[Diagnosis, Tensor]
"""A diagnosis, and the LSE `[B, H, R]` that it accounts for."""


def lse_beside_output(evidence: Evidence) -> Diagnosis | None:
    """An LSE that is wrong where the output alone shows that all weights are right."""
    if not (evidence.values_tell_keys_apart and bool(evidence.model.query.any())):
        return None
    return lse_unwritten(evidence) or lse_alone(evidence)


def lse_alone(evidence: Evidence) -> Diagnosis | None:
    """The first hypothesis that gives the kernel's LSE, where the output is right; and the next that gives it as well,
    of those that are formulas."""
    if not _lse_alone_is_wrong(evidence):
        return None
    first = None
    for diagnosis, expected in (guess for guesses in FORMULAS for guess in guesses(evidence)):
        if not _fits(evidence, expected):
            continue
        if first is not None:
            return replace(first, alternatives=(diagnosis.words,))
        first = diagnosis
    if first is not None:
        return first
    fitting = (guess for guesses in FITTED for guess in guesses(evidence))
    return next((diagnosis for diagnosis, expected in fitting if _fits(evidence, expected)), None)


def _lse_alone_is_wrong(evidence: Evidence) -> bool:
    if evidence.lse is None or evidence.lse_is_right or not evidence.out_is_right:
        return False
    # The output may be right whatever the weights: all values may be equal.
    return evidence.weights_are_right


def _fits(evidence: Evidence, expected: Tensor) -> bool:
    moments = evidence.model.reference().moments
    return evidence.explained_by(Reference("hypothesis", expected, moments=moments), "lse")


def _bases(evidence: Evidence) -> Iterator[Guess]:
    lse, maximum = evidence.model.lse, evidence.model.maximum
    total = lse - maximum
    powers = {
        "lse is in base 2": LOG2_E,
        "lse is multiplied with ln 2, as if it had been in base 2": 1 / LOG2_E,
        "lse is in base 2, converted twice": LOG2_E**2,
        "lse is multiplied with ln 2 twice": LOG2_E**-2,
        "lse is in base 10": math.log10(math.e),
    }
    for phrase, factor in powers.items():
        yield Diagnosis("lse base", phrase), lse * factor
    yield Diagnosis("lse base", "lse adds a logarithm in base 2 to a maximum in base e"), maximum + total * LOG2_E
    yield Diagnosis("lse base", "lse adds a natural logarithm to a maximum in base 2"), maximum * LOG2_E + total
    yield Diagnosis("lse base", "lse multiplies the maximum alone with ln 2"), maximum / LOG2_E + total
    yield Diagnosis("lse base", "lse multiplies the logarithm alone with ln 2"), maximum + total / LOG2_E


def _terms(evidence: Evidence) -> Iterator[Guess]:
    lse, maximum = evidence.model.lse, evidence.model.maximum
    total = lse - maximum
    yield Diagnosis("lse shift", "lse lacks the row's maximum: it is the logarithm of the sum alone"), total
    yield Diagnosis("lse shift", "lse is the row's maximum alone: the logarithm of the sum is missing"), maximum
    yield Diagnosis("lse shift", "lse adds the sum instead of its logarithm to the maximum"), maximum + total.exp()
    yield Diagnosis("lse shift", "lse is the sum of exponentials without the logarithm"), lse.exp()
    yield Diagnosis("lse shift", "lse subtracts the logarithm of the sum from the maximum"), maximum - total
    mean = evidence.model.key.mean(dim=2, keepdim=True)
    shift = (evidence.model.query @ mean.mT).squeeze(3) * evidence.model.scale
    phrase = "lse is off by each query's product with the mean key: keys were smoothed and lse was not put right"
    yield Diagnosis("lse shift", phrase), lse - shift


def _scales(evidence: Evidence) -> Iterator[Guess]:
    model = evidence.model
    total = model.lse - model.maximum
    yield Diagnosis("lse scale", "lse is that of logits without the softmax scale"), replace(model, scale=1.0).lse
    unscaled = model.maximum / model.scale if model.scale else model.maximum
    yield Diagnosis("lse scale", "lse takes the maximum without the softmax scale"), unscaled + total
    phrase = "lse applies the softmax scale twice"
    yield Diagnosis("lse scale", phrase), replace(model, scale=model.scale**2).lse
    yield Diagnosis("lse scale", "lse applies the softmax scale to the result"), model.lse * model.scale
    yield (
        Diagnosis("lse scale", "lse applies the softmax scale twice to the maximum"),
        model.maximum * model.scale + total,
    )
    yield Diagnosis("lse scale", "lse has the wrong sign"), -model.lse


def _orders(evidence: Evidence) -> Iterator[Guess]:
    """LSEs of other rows, heads or batches."""
    lse, found = evidence.model.lse, evidence.lse
    if found is None or len(evidence.rows) < evidence.problem.query_length or found.numel() < 8:
        return
    for shift in (1, -1, 2, -2):
        phrase = f"lse of each row is that of the row {abs(shift)} {'before' if shift > 0 else 'after'} it"
        yield Diagnosis("lse order", phrase), lse.roll(shift, dims=2)
    yield Diagnosis("lse order", "lse has its heads in the wrong order"), _matched(lse, found, 1)
    yield Diagnosis("lse order", "lse has its batches in the wrong order"), _matched(lse, found, 0)
    for across in ((2, 1), (2, 0), (1, 0)):
        names = {0: "batches", 1: "heads", 2: "rows"}
        moved = lse.transpose(*across).contiguous().view(lse.shape)
        phrase = f"lse has its {names[across[0]]} and {names[across[1]]} interchanged"
        yield Diagnosis("lse order", phrase), moved
    yield Diagnosis("lse order", "lse has the values of other rows of its head"), _sorted_like(lse, found, 2)
    flat = _sorted_like(lse.flatten(), found.flatten(), 0).view(lse.shape)
    yield Diagnosis("lse order", "lse has the right values in the wrong places"), flat


def _other_rows(evidence: Evidence) -> Iterator[Guess]:
    """LSEs of any other rows of the same head."""
    lse, found = evidence.model.lse, evidence.lse
    if found is None or lse.shape[2] < 2:
        return
    nearest = _nearest(lse, found)
    share = float((nearest - lse).abs().gt(1e-3).float().mean())
    if share < 1.0:
        phrase = f"lse of {share:.0%} of the rows is that of another row"
        yield Diagnosis("lse order", phrase), nearest


def _matched(lse: Tensor, found: Tensor, dim: int) -> Tensor:
    """Slices of `lse` along a dimension, each the one closest to the slice of `found`."""
    distance = (lse.unsqueeze(dim) - found.unsqueeze(dim + 1)).abs().nan_to_num(1e30)
    others = [d for d in range(distance.dim()) if d not in (dim, dim + 1)]
    return lse.index_select(dim, distance.mean(dim=others).argmin(dim=1))


def _sorted_like(lse: Tensor, found: Tensor, dim: int) -> Tensor:
    order = found.argsort(dim=dim)
    return torch.empty_like(lse).scatter_(dim, order, lse.sort(dim=dim).values)


def _nearest(lse: Tensor, found: Tensor) -> Tensor:
    """For each row the value among all rows of its head that is closest to what was found."""
    ordered = lse.sort(dim=2).values.contiguous()
    above = torch.searchsorted(ordered, found.contiguous()).clamp_max(lse.shape[2] - 1)
    return _closest(torch.stack([ordered.gather(2, above), ordered.gather(2, (above - 1).clamp_min(0))]), found)


def _parts(evidence: Evidence) -> Iterator[Guess]:
    """LSEs of one of two splits of the keys; rows may be split at different keys."""
    scores, found = evidence.model.scores, evidence.lse
    assert found is not None
    keys = scores.shape[3]
    step = max(16, -(-keys // 64) // 16 * 16)
    edges = range(step, keys, step)
    if not edges:
        return
    first = torch.stack([scores[..., :edge].logsumexp(dim=3) for edge in edges])
    second = torch.stack([scores[..., edge:].logsumexp(dim=3) for edge in edges])
    whole = evidence.model.lse.unsqueeze(0)
    guesses: dict[Kind, tuple[str, Tensor]] = {
        "split lost": ("lse covers the first split of the keys alone", torch.cat([whole, first])),
        "lse shift": ("lse is the larger of two splits': their sum is missing", torch.maximum(first, second)),
    }
    for kind, (phrase, candidates) in guesses.items():
        yield Diagnosis(kind, phrase), _closest(candidates, found)
    yield (
        Diagnosis("split lost", "lse covers the last split of the keys alone"),
        _closest(torch.cat([whole, second]), found),
    )


def _closest(candidates: Tensor, found: Tensor) -> Tensor:
    """For each row the candidate `[N, B, H, R]` that is closest to what was found."""
    distance = (candidates - found).abs().nan_to_num(1e30).masked_fill(candidates == found, 0.0)
    best = distance.argmin(dim=0, keepdim=True)
    return candidates.gather(0, best).squeeze(0)


def _constants(evidence: Evidence) -> Iterator[Guess]:
    assert evidence.lse is not None
    lse = evidence.model.lse
    off = (evidence.lse - lse).where(~lse.isneginf(), torch.nan)
    for dims, place in (((0, 1, 2), "in every row"), ((2,), "in every row of a head"), ((0, 1), "in every head")):
        shift = off.nanmean(dim=dims, keepdim=True).nan_to_num(0.0)
        if off.numel() < 4 * shift.numel() or not bool(shift.any()):
            continue
        worst = float(shift.flatten()[shift.abs().argmax()])
        phrase = f"lse is off by {worst:+.3f} {place}"
        if math.isclose(worst, -math.log(evidence.problem.key_length), rel_tol=1e-3):
            phrase += ": the logarithm of the number of keys is missing"
        times = round(math.exp(min(worst, 5.0)))
        if times > 1 and abs(worst - math.log(times)) < 1e-3 and _right_for_many_keys(evidence):
            counts = f"{phrase}: every key counts {times} times, and once where there are many"
            yield Diagnosis("leaked keys", counts), lse + shift
        yield Diagnosis("lse shift", phrase), lse + shift


def _right_for_many_keys(evidence: Evidence) -> bool:
    """Whether the LSE is right without a mask for many keys that weigh the same."""
    lse = evidence.lse_of_equal_keys(MANY_KEYS)
    return lse is not None and float((lse - math.log(MANY_KEYS)).abs().max()) < 1e-3


def _factors(evidence: Evidence) -> Iterator[Guess]:
    assert evidence.lse is not None
    lse = evidence.model.lse.where(~evidence.model.lse.isneginf(), 0.0)
    found = evidence.lse.where(~evidence.model.lse.isneginf(), 0.0)
    if lse.numel() < 4:
        return
    factor = float((lse * found).sum() / lse.square().sum().clamp_min(1e-30))
    yield Diagnosis("lse scale", f"lse is {factor:.4g} times what is expected"), evidence.model.lse * factor


def _roundings(evidence: Evidence) -> Iterator[Guess]:
    """An LSE that went through fewer bits."""
    assert evidence.lse is not None
    found = evidence.lse
    for name in ("bfloat16", "float16"):
        rounded = evidence.model.lse.to(torch_dtype(name)).to(found.dtype)
        step = torch.finfo(torch_dtype(name)).eps * evidence.model.lse.abs().where(~rounded.isneginf(), 0.0)
        close = (found - rounded).abs().nan_to_num(0.0) <= 2 * step
        if torch.equal(found.to(torch_dtype(name)).to(found.dtype), found) and bool(close.all()):
            yield Diagnosis("precision", f"lse is rounded to {name}"), found


def lse_unwritten(evidence: Evidence) -> Diagnosis | None:
    """One number in every row, whatever the keys."""
    if evidence.lse is None or not _lse_alone_is_wrong(evidence):
        return None
    same = evidence.lse == evidence.lse.flatten()[0]
    if evidence.lse.numel() > 1 and bool(same.all()) and bool(evidence.lse.isfinite().all()):
        number = float(evidence.lse.flatten()[0])
        if number == 0:
            return Diagnosis("null", "lse is 0 in every row")
        if float(evidence.model.lse.std()) > 1e-3:
            return Diagnosis("lse unwritten", f"lse is {number:g} in every row")
        return None
    zero = (evidence.lse == 0) & ~evidence.model.lse.isneginf() & (evidence.model.lse.abs() > 1e-2)
    if not bool(zero.any()):
        return None
    others = torch.where(zero, evidence.lse, evidence.model.lse)
    if _fits(evidence, others):
        where = torch.zeros(evidence.problem.query_length, dtype=torch.bool)
        where[evidence.rows] = zero.any(dim=(0, 1))
        return Diagnosis("lse unwritten", f"lse is 0 in {named('row', where)}, right elsewhere")
    return None


FORMULAS = (_bases, _terms, _scales)
"""What a wrong formula gives."""

FITTED = (_orders, _parts, _other_rows, _constants, _factors, _roundings)
"""What fits the LSE that was found, and may fit one of a formula as well."""
